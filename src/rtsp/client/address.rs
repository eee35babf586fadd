//! Control URLs of a presentation and its media sections (RFC 2326 C.1.1, RFC 3986 section 5).

use url::Url;

use super::ControlUrl;
use crate::message::Fields;

/// Where the requests of a session go.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    control: ControlUrl,
    /// The presentation as it was asked for.
    pub(super) url: String,
    /// What control attributes are relative to.
    base: String,
    /// The session as a whole.
    pub(super) aggregate: String,
}

impl Addresses {
    pub(super) fn new(url: &str, control: ControlUrl) -> Self {
        let url = on_one_line(url);
        Self { control, base: url.clone(), aggregate: url.clone(), url }
    }

    /// Takes what the answer to DESCRIBE tells: its header fields and the session's `a=control`.
    pub(super) fn described(&mut self, fields: &Fields, session_control: Option<&str>) {
        self.base = match self.control {
            ControlUrl::Append => self.url.clone(),
            ControlUrl::Resolve => ["Content-Base", "Content-Location"]
                .iter()
                .filter_map(|name| fields.get(name))
                // Some firmware leaves the scheme out.
                .find(|b| b.contains("://") || b.starts_with('/'))
                .and_then(|b| Some(Url::parse(&self.url).ok()?.join(b).ok()?.into()))
                .unwrap_or_else(|| self.url.clone()),
        };
        self.aggregate = self.of(session_control);
    }

    /// The URL of a control attribute.
    pub(super) fn of(&self, control: Option<&str>) -> String {
        match (control, self.control) {
            (None | Some("*" | ""), _) => self.base.clone(),
            (Some(c), _) if c.contains("://") => on_one_line(c),
            (Some(c), ControlUrl::Append) => append(&self.base, c),
            (Some(c), ControlUrl::Resolve) => resolve(&self.base, c),
        }
    }
}

fn append(base: &str, control: &str) -> String {
    let control = on_one_line(control);
    format!("{}/{}", base.trim_end_matches('/'), control.trim_start_matches('/'))
}

fn resolve(base: &str, control: &str) -> String {
    let Ok(mut url) = Url::parse(base) else { return append(base, control) };
    if !control.starts_with(['/', '?', '#']) && !url.path().ends_with('/') {
        // Servers leave the slash out and mean a folder.
        url.set_path(&format!("{}/", url.path()));
    }
    // `trackID=1` is a name, `a:b` would be a scheme.
    let named = if control.starts_with(['/', '?', '#', '.']) {
        url.join(control)
    } else {
        url.join(&format!("./{control}"))
    };
    named.map_or_else(|_| append(base, control), Into::into)
}

/// A URL stands in a request line: no control characters and no blanks, whoever wrote it.
fn on_one_line(url: &str) -> String {
    let printable = url.trim().chars().filter(|c| !c.is_control());
    printable.collect::<String>().replace(' ', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "rtsp://h:554/Streaming/tracks/101/?starttime=1&size=2";

    fn described(
        url: &str,
        control: ControlUrl,
        fields: &[(&str, &str)],
        session: &str,
    ) -> Addresses {
        let mut all = Fields::default();
        for (name, value) in fields {
            all.push(*name, value);
        }
        let mut a = Addresses::new(url, control);
        a.described(&all, Some(session));
        a
    }

    #[test]
    fn appended_controls_stand_behind_the_query() {
        let base = [("Content-Base", "rtsp://other/x/")];
        let a = described(URL, ControlUrl::Append, &base, "*");
        assert_eq!(a.aggregate, URL);
        assert_eq!(a.of(Some("trackID=video")), format!("{URL}/trackID=video"));
        assert_eq!(a.of(Some("/trackID=video")), format!("{URL}/trackID=video"));
        assert_eq!(a.of(Some("rtsp://h/b?c")), "rtsp://h/b?c");
        assert_eq!(a.of(None), URL);
    }

    #[test]
    fn resolved_controls_follow_the_rules_of_urls() {
        let a = described(URL, ControlUrl::Resolve, &[], "*");
        assert_eq!(a.aggregate, URL, "the presentation itself keeps its query");
        for (control, expected) in [
            ("trackID=1", "rtsp://h:554/Streaming/tracks/101/trackID=1"),
            ("track:1", "rtsp://h:554/Streaming/tracks/101/track:1"),
            ("/abs?x=1", "rtsp://h:554/abs?x=1"),
            ("../102/v", "rtsp://h:554/Streaming/tracks/102/v"),
            ("?ch=2", "rtsp://h:554/Streaming/tracks/101/?ch=2"),
            ("rtsp://g/y", "rtsp://g/y"),
            ("*", URL),
        ] {
            assert_eq!(a.of(Some(control)), expected, "{control}");
        }
        let no_slash = described("rtsp://h/live", ControlUrl::Resolve, &[], "");
        assert_eq!(no_slash.of(Some("trackID=1")), "rtsp://h/live/trackID=1");
    }

    #[test]
    fn the_base_comes_from_the_answer_where_it_makes_sense() {
        for (fields, aggregate) in [
            (&[("Content-Base", "rtsp://g:8554/b/")][..], "rtsp://g:8554/b/"),
            (&[("Content-Location", "/c/")], "rtsp://h:554/c/"),
            (&[("Content-Base", "192.0.2.1/b/")], URL),
            (&[("Content-Base", "192.0.2.1/b"), ("Content-Location", "rtsp://g/c")], "rtsp://g/c"),
        ] {
            assert_eq!(described(URL, ControlUrl::Resolve, fields, "*").aggregate, aggregate);
        }
        let a = described(URL, ControlUrl::Resolve, &[("Content-Base", "rtsp://g/b/")], "all");
        assert_eq!(
            (a.aggregate.as_str(), a.of(Some("1")).as_str()),
            ("rtsp://g/b/all", "rtsp://g/b/1")
        );
    }

    #[test]
    fn nothing_breaks_out_of_the_request_line() {
        for control in [ControlUrl::Append, ControlUrl::Resolve] {
            let a = described("rtsp://h/a b\r\nEvil: 1", control, &[], "x\ry");
            for url in [a.url.clone(), a.aggregate.clone(), a.of(Some("t r\rEvil"))] {
                assert!(!url.contains(char::is_whitespace), "{url}");
            }
        }
        assert_eq!(
            Addresses::new("not a url", ControlUrl::Resolve).of(Some("t")),
            "not%20a%20url/t"
        );
    }
}
