#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dvrgate_fuzz::rtsp_opening(data));
