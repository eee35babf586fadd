//! Tracks and disks.

use dvrgate_model::Codec;
use dvrgate_testkit::chassis::http::Reply;

use super::{namespace, xml};
use crate::behaviour::Profile;
use crate::recorder::Recorder;

pub(crate) fn tracks(r: &Recorder) -> Reply {
    let behaviour = r.behaviour();
    let mut list = String::new();
    for (place, c) in r.archive.channels().iter().enumerate() {
        for stream in [1, 2] {
            if stream == 2 && behaviour.no_sub_stream.contains(&c.id) {
                continue;
            }
            let id = u32::from(c.id) * 100 + stream;
            let (width, height) = c.clip.size();
            let (num, den) = c.clip.frame_rate();
            let codec = if c.clip.codec() == Codec::H265 { "H.265-MP" } else { "H.264-BP" };
            list += &format!(
                "<Track>\n<id>{id}</id>\n<Channel>{id}</Channel>\n<Enable>false</Enable>\n\
                 <Description>trackType=standard</Description>\n\
                 <TrackGUID>{{00000{id:03}-0000-0000-0000-000000000000}}</TrackGUID>\n\
                 <Duration>P30DT0H</Duration>\n<DefaultRecordingMode>CMR</DefaultRecordingMode>\n\
                 <LoopEnable>true</LoopEnable>\n<SrcDescriptor>\n<SrcGUID/>\n\
                 <SrcChannel>{}</SrcChannel>\n<StreamHint>trackType=standard,trackType=video,\
                 codecType={codec},resolution={width}x{height},framerate={:.6} fps,\
                 bitrate={} kbps</StreamHint>\n<SrcDriver>RTSP</SrcDriver>\n\
                 <SrcType>{codec}</SrcType>\n\
                 <SrcUrl>rtsp://localhost/PSIA/Streaming/channels/{id}</SrcUrl>\n\
                 <SrcType>DESCRIBE, SETUP, PLAY, TEARDOWN</SrcType>\n\
                 <SrcLogin>admin</SrcLogin>\n</SrcDescriptor>\n{}\
                 <CustomExtensionList>\n<CustomExtension>\n\
                 <CustomExtensionName>www.hikvision.com/RaCM/trackExt/ver10</CustomExtensionName>\n\
                 <enableSchedule>{}</enableSchedule>\n<SaveAudio>{}</SaveAudio>\n\
                 <PreRecordTimeSeconds>0</PreRecordTimeSeconds>\n\
                 <PostRecordTimeSeconds>0</PostRecordTimeSeconds>\n</CustomExtension>\n\
                 </CustomExtensionList>\n</Track>\n",
                c.id,
                f64::from(num) / f64::from(den),
                c.clip.bytes_per_second() / 125,
                schedule(place),
                stream == 1 && r.archive.is_recording(c.id, r.now()),
                c.tone.is_some(),
            );
        }
    }
    xml(format!("<TrackList {}>\n{list}</TrackList>\n", namespace(behaviour.profile)))
}

/// A week of continuous recording; the end of a day is spelt in each of the three ways in turn.
fn schedule(place: usize) -> String {
    const DAYS: [&str; 7] =
        ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let actions: String = (0..7)
        .map(|day| {
            let (end_day, end_time) = match place % 3 {
                0 => (DAYS[(day + 1) % 7], "00:00:00"),
                1 => (DAYS[day], "24:00:00"),
                _ => (DAYS[day], "23:59:59"),
            };
            format!(
                "<ScheduleAction>\n<id>{}</id>\n<ScheduleActionStartTime>\n\
                 <DayOfWeek>{}</DayOfWeek>\n<TimeOfDay>00:00:00</TimeOfDay>\n\
                 </ScheduleActionStartTime>\n<ScheduleActionEndTime>\n\
                 <DayOfWeek>{end_day}</DayOfWeek>\n<TimeOfDay>{end_time}</TimeOfDay>\n\
                 </ScheduleActionEndTime>\n<ScheduleDSTEnable>false</ScheduleDSTEnable>\n\
                 <Description>nothing</Description>\n<Actions>\n<Record>true</Record>\n\
                 <ActionRecordingMode>CMR</ActionRecordingMode>\n</Actions>\n</ScheduleAction>\n",
                day + 1,
                DAYS[day]
            )
        })
        .collect();
    format!(
        "<TrackSchedule>\n<ScheduleBlockList>\n<ScheduleBlock>\n\
         <ScheduleBlockGUID>{{00000000-0000-0000-0000-000000000000}}</ScheduleBlockGUID>\n\
         <ScheduleBlockType>www.std-cgi.com/racm/schedule/ver10</ScheduleBlockType>\n{actions}\
         </ScheduleBlock>\n</ScheduleBlockList>\n</TrackSchedule>\n"
    )
}

/// A full disk that overwrites, an empty bay, a mirror, and a share.
pub(crate) fn disks(r: &Recorder) -> Reply {
    let profile = r.behaviour().profile;
    let disk = |id: u8, status: &str, capacity: u32, property: &str| {
        format!(
            "<hdd>\n<id>{id}</id>\n<hddName>hdd{id}</hddName>\n<hddPath></hddPath>\n\
             <hddType>SATA</hddType>\n<status>{status}</status>\n<capacity>{capacity}</capacity>\n\
             <freeSpace>0</freeSpace>\n<property>{property}</property>\n</hdd>\n"
        )
    };
    let mut disks = disk(1, "ok", 953_869, "RW");
    let mut share = "<nasList/>\n".to_owned();
    if !profile.is_camera() {
        disks += &disk(2, "notexist", 0, "RW");
        disks += &disk(3, "ok", 953_869, "Redund");
        if profile != Profile::PsiaDvr {
            share = "<nasList>\n<nas>\n<id>9</id>\n\
                     <addressingFormatType>ipaddress</addressingFormatType>\n\
                     <ipAddress>192.0.2.9</ipAddress>\n<nasType>NFS</nasType>\n\
                     <path>/export/cctv</path>\n<status>offline</status>\n\
                     <capacity>0</capacity>\n<freeSpace>0</freeSpace>\n<property>RW</property>\n\
                     </nas>\n</nasList>\n"
                .to_owned();
        }
    }
    xml(format!(
        "<storage {}>\n<hddList version=\"1.0\" xmlns=\"http://www.hikvision.com/ver10/XMLSchema\" \
         size=\"8\">\n{disks}</hddList>\n{share}<workMode>quota</workMode>\n</storage>\n",
        namespace(profile)
    ))
}
