//! Random sections, random starts, and an oracle that works on the flat list of units.

use super::*;

type Flat = Vec<Vec<(Utc, FrameKind)>>;

/// Units by section, in decode order.
fn flat((spans, gops): &(Vec<UtcRange>, Vec<Arc<Gop>>)) -> Flat {
    spans
        .iter()
        .map(|s| {
            let inside = gops.iter().filter(|g| g.range.overlaps(s));
            inside.flat_map(|g| g.frames.iter().map(|f| (f.at.utc, f.kind))).collect()
        })
        .collect()
}

fn keeps(filter: FrameFilter, kind: FrameKind, distance_us: Option<i64>) -> bool {
    match filter {
        FrameFilter::All => true,
        FrameFilter::Predicted => kind != FrameKind::Bidirectional,
        FrameFilter::Intra { min_interval_us } => {
            kind.is_clean() && distance_us.is_none_or(|d| d >= min_interval_us)
        }
    }
}

fn expected_forward(
    track: &(Vec<UtcRange>, Vec<Arc<Gop>>),
    from: Utc,
    until: Option<Utc>,
    filter: FrameFilter,
) -> Vec<(Utc, FrameKind, Marks)> {
    let flat = flat(track);
    // Where playback starts (R8.5.5-1, R8.5.5-2, R8.5.5-3).
    let Some(k) = track.0.iter().position(|s| s.end() > from) else { return Vec::new() };
    let i = flat[k].iter().rposition(|(at, kind)| kind.is_clean() && *at <= from).unwrap_or(0);
    let mut out: Vec<(Utc, FrameKind, Marks)> = Vec::new();
    let mut last_key: Option<Utc> = None;
    'walk: for (n, section) in flat.iter().enumerate().skip(k) {
        let delivered_before = out.len();
        for (at, kind) in section.iter().skip(if n == k { i } else { 0 }) {
            if until.is_some_and(|u| *at >= u) {
                break 'walk;
            }
            if keeps(filter, *kind, last_key.map(|l| at.since_us(l))) {
                last_key = Some(*at);
                out.push((*at, *kind, Marks { clean: kind.is_clean(), ..Marks::default() }));
            }
        }
        if out.len() > delivered_before {
            // T only in the last section: whether an interval of `intra` will swallow all that is
            // behind a gap is not known when the unit before the gap is sent.
            let last = out.last_mut().unwrap();
            last.2.end_of_span = true;
            last.2.terminal = n + 1 == flat.len();
        }
    }
    out
}

fn expected_reverse(
    track: &(Vec<UtcRange>, Vec<Arc<Gop>>),
    from: Utc,
    until: Option<Utc>,
    filter: FrameFilter,
) -> Vec<(Utc, FrameKind, Marks)> {
    // Pieces with the number of their section.
    let mut pieces: Vec<(usize, Vec<(Utc, FrameKind)>)> = Vec::new();
    for (n, section) in flat(track).into_iter().enumerate() {
        for unit in section {
            match pieces.last_mut() {
                Some((m, piece)) if *m == n && !unit.1.is_clean() => piece.push(unit),
                _ => pieces.push((n, vec![unit])),
            }
        }
    }
    let first = pieces.iter().rposition(|(_, p)| p[0].0 <= from);
    let Some(first) = first else { return Vec::new() };
    let mut out: Vec<(Utc, FrameKind, Marks)> = Vec::new();
    let mut last_key: Option<Utc> = None;
    let (mut ended, mut last_section) = (false, 0);
    for i in (0..=first).rev() {
        let (section, piece) = &pieces[i];
        if i < first
            && pieces[i + 1].0 != *section
            && let Some(last) = out.last_mut()
        {
            last.2.end_of_span = true;
        }
        if until.is_some_and(|u| piece.iter().all(|(at, _)| *at < u)) {
            ended = true;
            break;
        }
        let begun = out.len();
        for (at, kind) in piece {
            if keeps(filter, *kind, last_key.map(|l| l.since_us(*at))) {
                out.push((*at, *kind, Marks { clean: kind.is_clean(), ..Marks::default() }));
            }
        }
        if out.len() > begun {
            out[begun].2.discontinuity = true;
            (last_key, last_section) = (Some(piece[0].0), *section);
        }
    }
    if !ended && let Some(last) = out.last_mut() {
        last.2.end_of_span = true;
        // See the forward one.
        last.2.terminal = last_section == 0;
    }
    out
}

fn filters() -> impl Strategy<Value = FrameFilter> {
    prop_oneof![
        Just(FrameFilter::All),
        Just(FrameFilter::Predicted),
        (0..5_000_000i64).prop_map(|min_interval_us| FrameFilter::Intra { min_interval_us }),
    ]
}

/// Anywhere: in sections, in gaps, before all and after all; often exactly on a unit.
fn instants(sections: Vec<Section>) -> impl Strategy<Value = (Vec<Section>, Utc, Option<Utc>)> {
    let track = video("v", &sections);
    let marks: Vec<Utc> = flat(&track).into_iter().flatten().map(|(at, _)| at).collect();
    let last = marks.iter().max().unwrap().since_us(at_ms(0)) / 1000;
    let any_instant = prop_oneof![
        (-5_000..last + 5_000).prop_map(at_ms),
        prop::sample::select(marks.clone()),
        prop::sample::select(marks).prop_map(|t| t.plus_us(1)),
    ];
    let any_instant = any_instant.boxed();
    let until = prop::option::of(any_instant.clone());
    (Just(sections), any_instant, until)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    /// R8.3-6, R8.3-7, R8.3-10, R8.3-14, R8.5.2-2, R8.5.2-3, R8.5.2-5, R8.5.4-1, R8.5.4-2,
    /// R8.5.4-3, R8.5.4-4, R8.5.5-1, R8.5.5-2, R8.5.5-3, R8.5.5-5: forwards, every unit once, with
    /// its marks, from the right place.
    #[test]
    fn forward_is_what_the_oracle_says(
        (sections, from, until) in sections().prop_flat_map(instants),
        frames in filters(),
        timid in any::<bool>(),
    ) {
        let archive = archive(&sections, timid);
        let until = until.filter(|u| *u > from);
        let plan = PlayPlan { until, frames, ..plan(from, Direction::Forward) };
        let got = play(&archive, &plan);
        let want = expected_forward(&archive.tracks[&"v".into()], from, until, frames);
        prop_assert_eq!(units(&got), want);
    }

    /// R8.3-8, R8.3-9, R8.3-15, R8.5.5-2, R8.5.5-4, R8.5.5-5, R8.6-1, R8.6-2, R8.6-3, R8.6-4: in
    /// reverse.
    #[test]
    fn reverse_is_what_the_oracle_says(
        (sections, from, until) in sections().prop_flat_map(instants),
        frames in filters(),
        timid in any::<bool>(),
    ) {
        let archive = archive(&sections, timid);
        let until = until.filter(|u| *u < from);
        let plan = PlayPlan { until, frames, ..plan(from, Direction::Reverse) };
        let got = play(&archive, &plan);
        let want = expected_reverse(&archive.tracks[&"v".into()], from, until, frames);
        prop_assert_eq!(units(&got), want);
    }

    /// R8.6-1, R8.3-16: reverse is the mirror of forward by GOP, with the same instants.
    #[test]
    fn reverse_mirrors_forward(sections in sections()) {
        let archive = archive(&sections, false);
        let pieces = |deliveries: &[Delivery]| {
            let mut pieces: Vec<Vec<Utc>> = Vec::new();
            for (at, kind, _) in units(deliveries) {
                if kind.is_clean() {
                    pieces.push(Vec::new());
                }
                pieces.last_mut().unwrap().push(at);
            }
            pieces
        };
        let there = play(&archive, &plan(at_ms(-1000), Direction::Forward));
        let back = play(&archive, &plan(at_ms(10_000_000), Direction::Reverse));
        let mut mirrored = pieces(&back);
        mirrored.reverse();
        prop_assert_eq!(pieces(&there), mirrored);
        // Every gap is reported, in both directions the same.
        let (there, mut back) = (gaps(&there), gaps(&back));
        back.reverse();
        prop_assert_eq!(there.len(), sections.len() - 1);
        prop_assert_eq!(there, back);
    }

    /// R8.5.3-3: tracks are interleaved in recorded order, and none loses or repeats a unit.
    #[test]
    fn tracks_are_interleaved(
        (v, from, until) in sections().prop_flat_map(instants),
        w in sections(),
        timid in any::<bool>(),
    ) {
        let mut archive = archive(&v, timid);
        archive.tracks.insert("w".into(), video("w", &w));
        let until = until.filter(|u| *u > from);
        let both = vec!["v".into(), "w".into()];
        let plan = PlayPlan { tracks: both, until, ..plan(from, Direction::Forward) };
        let got = play(&archive, &plan);
        let of = |track: &str| -> Vec<Delivery> {
            let is = |d: &&Delivery| {
                matches!(d, Delivery::Unit { frame, .. } if frame.track.as_str() == track)
            };
            got.iter().filter(is).cloned().collect()
        };
        for track in ["v", "w"] {
            let want = expected_forward(&archive.tracks[&track.into()], from, until, FrameFilter::All);
            prop_assert_eq!(units(&of(track)), want);
        }
        // By time, but for bidirectional units.
        let mut high = Utc::MIN;
        for (at, kind, _) in units(&got) {
            if kind != FrameKind::Bidirectional {
                prop_assert!(at >= high);
                high = at;
            }
        }
    }
}
