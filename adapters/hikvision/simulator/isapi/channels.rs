//! Inputs and streams.

use dvrgate_model::Codec;
use dvrgate_testkit::chassis::http::Reply;
use dvrgate_testkit::{ArchivedChannel, ChannelKind};

use super::{Answer, Refusal, namespace, xml};
use crate::behaviour::{Behaviour, Profile};
use crate::recorder::Recorder;
use crate::text;

/// A name as this firmware writes it: some forget to escape the ampersand.
fn name(behaviour: &Behaviour, channel: &ArchivedChannel) -> String {
    let escaped = text::escaped(&channel.name);
    if behaviour.bare_ampersand { escaped.replace("&amp;", "&") } else { escaped }
}

fn of_kind(r: &Recorder, kind: ChannelKind) -> impl Iterator<Item = &ArchivedChannel> {
    r.archive.channels().iter().filter(move |c| c.kind == kind)
}

pub(crate) fn analogue(r: &Recorder) -> Answer {
    let behaviour = r.behaviour();
    let profile = behaviour.profile;
    if !profile.has_analogue() && !profile.is_camera() {
        return Err(Refusal::NOT_SUPPORTED);
    }
    let mut list = String::new();
    for c in of_kind(r, ChannelKind::Analogue) {
        let (width, height) = c.clip.size();
        let signal = match (profile, c.online) {
            (Profile::Dvr475, true) => format!("<resDesc>{width}*{height}P25</resDesc>\n"),
            (Profile::Dvr475, false) => "<resDesc> NO VIDEO</resDesc>\n".to_owned(),
            _ => String::new(),
        };
        list += &format!(
            "<VideoInputChannel>\n<id>{}</id>\n<inputPort>{}</inputPort>\n\
             <videoInputEnabled>true</videoInputEnabled>\n<name>{}</name>\n\
             <videoFormat>PAL</videoFormat>\n{signal}</VideoInputChannel>\n",
            c.id,
            c.id,
            name(&behaviour, c)
        );
    }
    let ns = namespace(profile);
    Ok(xml(format!("<VideoInputChannelList {ns}>\n{list}</VideoInputChannelList>\n")))
}

pub(crate) fn cameras(r: &Recorder) -> Answer {
    let behaviour = r.behaviour();
    if behaviour.profile.is_camera() {
        return Err(Refusal::NOT_SUPPORTED);
    }
    let mut list = String::new();
    for (k, c) in of_kind(r, ChannelKind::Ip).enumerate() {
        list += &format!(
            "<InputProxyChannel>\n<id>{}</id>\n<name>{}</name>\n<sourceInputPortDescriptor>\n\
             <proxyProtocol>HIKVISION</proxyProtocol>\n\
             <addressingFormatType>ipaddress</addressingFormatType>\n\
             <ipAddress>192.0.2.{}</ipAddress>\n<managePortNo>8000</managePortNo>\n\
             <srcInputPort>1</srcInputPort>\n<userName>admin</userName>\n\
             <connMode>plugplay</connMode>\n<streamType>auto</streamType>\n\
             </sourceInputPortDescriptor>\n<enableTiming>true</enableTiming>\n\
             </InputProxyChannel>\n",
            c.id,
            name(&behaviour, c),
            100 + k
        );
    }
    // The attribute is the capacity, not the count.
    let (ns, size) = (namespace(behaviour.profile), r.archive.channels().len().next_power_of_two());
    Ok(xml(format!(
        "<InputProxyChannelList {ns} size=\"{size}\">\n{list}</InputProxyChannelList>\n"
    )))
}

pub(crate) fn camera_status(r: &Recorder) -> Answer {
    let profile = r.behaviour().profile;
    if profile.is_camera() {
        return Err(Refusal::NOT_SUPPORTED);
    }
    let mut list = String::new();
    for c in of_kind(r, ChannelKind::Ip) {
        let result = if c.online { "connect" } else { "netUnreachable" };
        list += &format!(
            "<InputProxyChannelStatus>\n<id>{}</id>\n<online>{}</online>\n\
             <chanDetectResult>{result}</chanDetectResult>\n</InputProxyChannelStatus>\n",
            c.id, c.online
        );
    }
    let ns = namespace(profile);
    Ok(xml(format!("<InputProxyChannelStatusList {ns}>\n{list}</InputProxyChannelStatusList>\n")))
}

/// The list of network cameras of about 2010.
pub(crate) fn old_cameras(r: &Recorder) -> Reply {
    let mut list = String::new();
    for (k, c) in of_kind(r, ChannelKind::Ip).enumerate() {
        list += &format!(
            "<DynVideoInputChannelStatus>\n<id>{}</id>\n<adminProtocol>HIKVISION</adminProtocol>\n\
             <addressingFormatType>ipaddress</addressingFormatType>\n\
             <ipAddress>192.0.2.{}</ipAddress>\n<adminPortNo>8000</adminPortNo>\n\
             <srcInputPort>1</srcInputPort>\n<online>{}</online>\n</DynVideoInputChannelStatus>\n",
            c.id,
            100 + k,
            c.online
        );
    }
    xml(format!(
        "<DynVideoInputChannelStatusList version=\"1.0\" \
         xmlns=\"urn:selfextension:psiaext-ver10-xsd\">\n{list}</DynVideoInputChannelStatusList>\n"
    ))
}

pub(crate) fn streams(r: &Recorder) -> Reply {
    let behaviour = r.behaviour();
    let list: String = r
        .archive
        .channels()
        .iter()
        .flat_map(|c| [1, 2].map(|s| (c, s)))
        .filter(|(c, s)| *s == 1 || !behaviour.no_sub_stream.contains(&c.id))
        .map(|(c, s)| stream_text(r, &behaviour, c, s))
        .collect();
    let ns = namespace(behaviour.profile);
    xml(format!("<StreamingChannelList {ns}>\n{list}</StreamingChannelList>\n"))
}

pub(crate) fn stream(r: &Recorder, id: &str) -> Answer {
    let behaviour = r.behaviour();
    let missing = |third: bool| match behaviour.profile {
        Profile::Dvr475 if third => Refusal::BAD_CONTENT,
        Profile::Ipc52 => Refusal::DEVICE_ERROR,
        _ => Refusal::NOT_SUPPORTED,
    };
    let number: u32 = id.parse().map_err(|_| Refusal::BAD_PARAMETERS)?;
    let (channel, stream) = (number / 100, number % 100);
    let found = r.archive.channels().iter().find(|c| u32::from(c.id) == channel);
    match found {
        Some(c) if stream == 1 || stream == 2 && !behaviour.no_sub_stream.contains(&c.id) => {
            let body = stream_text(r, &behaviour, c, stream);
            Ok(xml(body))
        }
        _ => Err(missing(stream == 3)),
    }
}

fn stream_text(r: &Recorder, behaviour: &Behaviour, c: &ArchivedChannel, stream: u32) -> String {
    let (width, height) = c.clip.size();
    let (num, den) = c.clip.frame_rate();
    let codec = if c.clip.codec() == Codec::H265 { "H.265" } else { "H.264" };
    let old = behaviour.profile == Profile::PsiaDvr;
    let rtsp = r.rtsp_addr.read().map_or(554, |a| a.port());
    let port = if old { format!("<rtspPortNo>{rtsp}</rtspPortNo>\n") } else { String::new() };
    format!(
        "<StreamingChannel {}>\n<id>{}</id>\n<channelName>{}</channelName>\n\
         <enabled>true</enabled>\n<Transport>\n{port}<ControlProtocolList>\n<ControlProtocol>\n\
         <streamingTransport>RTSP</streamingTransport>\n</ControlProtocol>\n\
         </ControlProtocolList>\n</Transport>\n<Video>\n<enabled>true</enabled>\n\
         <videoInputChannelID>{}</videoInputChannelID>\n\
         <videoCodecType>{codec}</videoCodecType>\n\
         <videoResolutionWidth>{width}</videoResolutionWidth>\n\
         <videoResolutionHeight>{height}</videoResolutionHeight>\n\
         <videoQualityControlType>VBR</videoQualityControlType>\n\
         <vbrUpperCap>{}</vbrUpperCap>\n<maxFrameRate>{}</maxFrameRate>\n\
         <SmartCodec>\n<enabled>false</enabled>\n</SmartCodec>\n</Video>\n<Audio>\n\
         <enabled>{}</enabled>\n<audioInputChannelID>{}</audioInputChannelID>\n\
         <audioCompressionType>G.711alaw</audioCompressionType>\n</Audio>\n</StreamingChannel>\n",
        namespace(behaviour.profile),
        u32::from(c.id) * 100 + stream,
        name(behaviour, c),
        c.id,
        c.clip.bytes_per_second() / 125,
        // 0 is the full rate of the standard.
        if num / den >= 25 { 0 } else { num * 100 / den },
        c.tone.is_some(),
        c.id,
    )
}
