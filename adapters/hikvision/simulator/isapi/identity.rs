//! Who the recorder is, where it listens, and what time it takes it to be.

use dvrgate_testkit::ChannelKind;
use dvrgate_testkit::chassis::http::{Reply, Request};

use super::{namespace, xml};
use crate::behaviour::{LocalTime, Profile};
use crate::recorder::Recorder;
use crate::text;

pub(crate) fn device_info(r: &Recorder) -> Reply {
    let profile = r.behaviour().profile;
    let [model, serial, firmware, kind] = r.identity();
    let usual = match kind.as_str() {
        "DVR" => "Embedded Net DVR",
        "NVR" => "Network Video Recorder",
        _ => "IP CAMERA",
    };
    let name = if r.device.name.is_empty() { usual } else { &r.device.name };
    let old = profile == Profile::PsiaDvr;
    let kind = match old {
        true => format!("<deviceDescription>{kind}</deviceDescription>\n"),
        false => format!("<deviceType>{kind}</deviceType>\n<telecontrolID>255</telecontrolID>\n"),
    };
    let encoder = match old {
        true => "<logicVersion>V1.0 build 100401</logicVersion>\n".to_owned(),
        false => "<encoderVersion>V5.0</encoderVersion>\n\
                  <encoderReleasedDate>build 230130</encoderReleasedDate>\n"
            .to_owned(),
    };
    let maker = match profile {
        Profile::Dvr475 | Profile::Nvr50 | Profile::Ipc57 => {
            "<manufacturer>hikvision</manufacturer>\n"
        }
        _ => "",
    };
    xml(format!(
        "<DeviceInfo {}>\n<deviceName>{}</deviceName>\n\
         <deviceID>48414831-3630-0000-0000-0c0bf0000000</deviceID>\n<model>{}</model>\n\
         <serialNumber>{}</serialNumber>\n<macAddress>0c:0b:f0:00:00:01</macAddress>\n\
         <firmwareVersion>{firmware}</firmwareVersion>\n\
         <firmwareReleasedDate>build 230625</firmwareReleasedDate>\n{encoder}{kind}{maker}\
         </DeviceInfo>\n",
        namespace(profile),
        text::escaped(name),
        text::escaped(&model),
        text::escaped(&serial),
    ))
}

/// Flags that promise more than the recorder keeps, as real ones do.
pub(crate) fn capabilities(r: &Recorder) -> Reply {
    let profile = r.behaviour().profile;
    let analogue = r.archive.channels().iter().filter(|c| c.kind == ChannelKind::Analogue).count();
    let cameras = r.archive.channels().len() - analogue;
    let recorder = match profile.is_camera() {
        true => String::new(),
        false => format!(
            "<inputProxyNums>{}</inputProxyNums>\n<isSupportSmartSearch>true</isSupportSmartSearch>\n\
             <isSupportPlaybackByUTC>true</isSupportPlaybackByUTC>\n\
             <isSupportFindCommonFileByUTC>true</isSupportFindCommonFileByUTC>\n",
            cameras.next_power_of_two()
        ),
    };
    xml(format!(
        "<DeviceCap {}>\n<SysCap>\n<isSupportDst>true</isSupportDst>\n<VideoCap>\n\
         <videoInputPortNums>{analogue}</videoInputPortNums>\n</VideoCap>\n</SysCap>\n\
         <RacmCap>\n{recorder}<recordSearchType opt=\"CMR,MOTION,ALARM,EDR,ALARMANDMOTION,Command,\
         manual,AllEvent\">AllEvent</recordSearchType>\n</RacmCap>\n</DeviceCap>\n",
        namespace(profile)
    ))
}

pub(crate) fn status(r: &Recorder) -> Reply {
    xml(format!(
        "<DeviceStatus {}>\n<currentDeviceTime>{}</currentDeviceTime>\n\
         <deviceUpTime>86400</deviceUpTime>\n<CPUList/>\n<MemoryList/>\n</DeviceStatus>\n",
        namespace(r.behaviour().profile),
        local_time_text(r)
    ))
}

pub(crate) fn admin_accesses(r: &Recorder, request: &Request) -> Reply {
    let profile = r.behaviour().profile;
    let rtsp = r.rtsp_addr.read().map_or(554, |a| a.port());
    let entry = |id: u8, on: bool, name: &str, port: u16| {
        format!(
            "<AdminAccessProtocol>\n<id>{id}</id>\n<enabled>{on}</enabled>\n\
             <protocol>{name}</protocol>\n<portNo>{port}</portNo>\n</AdminAccessProtocol>\n"
        )
    };
    xml(format!(
        "<AdminAccessProtocolList {}>\n{}{}{}{}</AdminAccessProtocolList>\n",
        namespace(profile),
        entry(1, true, "HTTP", request.local.port()),
        entry(2, true, "RTSP", rtsp),
        entry(3, false, "HTTPS", 443),
        entry(4, true, "DEV_MANAGE", 8000),
    ))
}

pub(crate) fn login_lock(r: &Recorder) -> Reply {
    let behaviour = r.behaviour();
    xml(format!(
        "<IllegalLoginLock {}>\n<enabled>{}</enabled>\n</IllegalLoginLock>\n",
        namespace(behaviour.profile),
        behaviour.lock_out_attempts > 0
    ))
}

pub(crate) fn time(r: &Recorder) -> Reply {
    xml(format!(
        "<Time {}>\n<timeMode>manual</timeMode>\n<localTime>{}</localTime>\n\
         <timeZone>{}</timeZone>\n</Time>\n",
        namespace(r.behaviour().profile),
        local_time_text(r),
        zone_text(r)
    ))
}

pub(crate) fn local_time(r: &Recorder) -> Reply {
    Reply::new(200, "text/plain", local_time_text(r))
}

pub(crate) fn time_zone(r: &Recorder) -> Reply {
    Reply::new(200, "text/plain", zone_text(r))
}

fn zone_text(r: &Recorder) -> String {
    let verbatim = r.behaviour().zone_text.clone();
    verbatim.unwrap_or_else(|| text::zone(r.archive.clock(), r.now()))
}

fn local_time_text(r: &Recorder) -> String {
    let now = r.now();
    let wall = text::long(r.archive.wall(now));
    let offset = text::offset(r.archive.clock().zone_offset_secs(now));
    match r.behaviour().local_time {
        LocalTime::Offset => wall + &offset,
        LocalTime::Plain => wall,
        LocalTime::MinutesZ => format!("{}Z", &wall[..16]),
        LocalTime::OneDigitHour => wall + &offset.replacen("+0", "+", 1).replacen("-0", "-", 1),
        LocalTime::SignLost => wall + &offset[1..],
    }
}
