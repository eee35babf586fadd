//! Messages of the search service.

use std::time::Duration;

use dvrgate_model::Utc;
use dvrgate_soap::{Element, Simple, enumeration, message, ns};

message! {
    /// tt:SearchScope.
    #[derive(Default)]
    pub struct SearchScope in ns::TT {
        /// Recordings of these sources.
        sources: Vec<SourceReference> = "IncludedSources",
        /// And these recordings.
        recordings: Vec<String> = "IncludedRecordings",
        /// Of them only those that match.
        filter: Option<String> = "RecordingInformationFilter",
    }

    /// tt:SourceReference.
    pub struct SourceReference in ns::TT {
        /// Token of the source.
        token: String = "Token",
    }

    /// tse:FindRecordings.
    pub struct FindRecordings in ns::TSE {
        /// Which recordings; all, where it is left out against the schema.
        scope: Option<SearchScope> = "Scope",
        /// Stops after this many.
        max_matches: Option<i64> = "MaxMatches",
        /// How long the session may rest. Required by the schema; left out by some clients.
        keep_alive: Option<Span> = "KeepAliveTime",
    }

    /// tse:FindEvents.
    pub struct FindEvents in ns::TSE {
        /// Where to begin.
        start: Utc = "StartPoint",
        /// Where to end; before the start for a search backwards.
        end: Option<Utc> = "EndPoint",
        /// On which recordings; all, where it is left out against the schema.
        scope: Option<SearchScope> = "Scope",
        /// wsnt:FilterType; everything, where it is left out against the schema.
        filter: Option<Element> = "SearchFilter",
        /// Whether virtual events tell the states at the start; not, where it is left out.
        include_start_state: Option<bool> = "IncludeStartState",
        /// Stops after this many.
        max_matches: Option<i64> = "MaxMatches",
        /// How long the session may rest. Required by the schema; left out by some clients.
        keep_alive: Option<Span> = "KeepAliveTime",
    }

    /// tse:FindMetadata.
    pub struct FindMetadata in ns::TSE {
        /// Where to begin.
        start: Utc = "StartPoint",
        /// Where to end; before the start for a search backwards.
        end: Option<Utc> = "EndPoint",
        /// On which recordings; all, where it is left out against the schema.
        scope: Option<SearchScope> = "Scope",
        /// What documents must hold.
        filter: MetadataFilter = "MetadataFilter",
        /// Stops after this many.
        max_matches: Option<i64> = "MaxMatches",
        /// How long the session may rest. Required by the schema; left out by some clients.
        keep_alive: Option<Span> = "KeepAliveTime",
    }

    /// tt:MetadataFilter.
    pub struct MetadataFilter in ns::TT {
        /// An expression over tt:MetadataStream.
        stream: String = "MetadataStreamFilter",
    }

    /// The answer to every Find.
    pub struct FindResponse in ns::TSE {
        /// Token of the session.
        token: String = "SearchToken",
    }

    /// tse:GetRecordingSearchResults, tse:GetEventSearchResults, tse:GetMetadataSearchResults.
    pub struct GetResults in ns::TSE {
        /// Token of the session.
        token: String = "SearchToken",
        /// Waits for so many.
        min_results: Option<i64> = "MinResults",
        /// At most so many.
        max_results: Option<i64> = "MaxResults",
        /// But not longer than this.
        wait_time: Option<Span> = "WaitTime",
    }

    /// tse:EndSearch.
    pub struct EndSearch in ns::TSE {
        /// Token of the session.
        token: String = "SearchToken",
    }

    /// tse:EndSearchResponse.
    pub struct EndSearchResponse in ns::TSE {
        /// How far the search came.
        endpoint: Utc = "Endpoint",
    }

    /// tse:GetRecordingInformation.
    pub struct GetRecordingInformation in ns::TSE {
        /// Which recording.
        token: String = "RecordingToken",
    }

    /// tse:GetMediaAttributes.
    pub struct GetMediaAttributes in ns::TSE {
        /// Of these recordings; of all where there are none.
        recordings: Vec<String> = "RecordingTokens",
        /// At this time.
        time: Utc = "Time",
    }

    /// tt:RecordingSummary.
    pub struct RecordingSummary in ns::TT {
        /// Earliest data.
        from: Utc = "DataFrom",
        /// Latest data.
        until: Utc = "DataUntil",
        /// How many recordings there are.
        recordings: u64 = "NumberRecordings",
    }

    /// tse:GetRecordingSummaryResponse.
    pub struct GetRecordingSummaryResponse in ns::TSE {
        /// The summary.
        summary: RecordingSummary = "Summary",
    }
}

enumeration! {
    /// tt:SearchState, without the words that are never used (R6.3.4-1).
    pub enum SearchState {
        /// More may come.
        Searching = "Searching",
        /// That was the last.
        Completed = "Completed",
    }
}

/// How long something may take: an xs:duration, one that lies in the past being no time (R6.8-5), or
/// plain seconds, as some clients write it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Span(pub Duration);

impl Simple for Span {
    const KIND: &'static str = Duration::KIND;

    fn parse(text: &str) -> Option<Self> {
        if let Ok(seconds) = text.parse::<u32>() {
            return Some(Self(Duration::from_secs(seconds.into())));
        }
        let (past, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        Duration::parse(rest).map(|d| Self(if past { Duration::ZERO } else { d }))
    }

    fn format(&self) -> String {
        self.0.format()
    }
}

/// How long a session may rest where nothing is asked for.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// How long a session may rest.
pub fn keep_alive(asked: Option<Span>) -> Duration {
    asked.map_or(KEEP_ALIVE, |span| span.0)
}

/// Most results of one answer, whatever is asked for.
const MAX_RESULTS: usize = 1000;
/// Results of one answer where nothing is asked for.
const DEFAULT_RESULTS: usize = 100;

impl GetResults {
    /// How many results to deliver at most: zero and less are no bound (R6.8-5).
    pub fn limit(&self, left: Option<u64>) -> usize {
        let asked = match self.max_results {
            Some(n) if n > 0 => usize::try_from(n).unwrap_or(MAX_RESULTS),
            _ => DEFAULT_RESULTS,
        };
        let left = left.map_or(usize::MAX, |l| usize::try_from(l).unwrap_or(usize::MAX));
        asked.min(MAX_RESULTS).min(left)
    }
}

/// MaxMatches as a bound: zero and less are none.
pub fn max_matches(asked: Option<i64>) -> Option<u64> {
    asked.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0)
}
