//! Playback as it leaves the server: footage in a real store, behind the real timeline and the RTSP
//! server. Some look at every byte, some let players that nobody of this project wrote do so.

mod codecs;
mod edge;
mod example;
mod frames;
mod places;
mod players;
mod raw;
mod stage;
