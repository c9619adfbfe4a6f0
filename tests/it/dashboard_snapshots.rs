//! The dashboard as it looks, with its styles: at the least size, on an ordinary terminal, and on a large one.

use gilscope::dashboard::blame::{self, Depth as Opened};
use gilscope::dashboard::cores;
use gilscope::dashboard::found::{self, FoundKey};
use gilscope::dashboard::histograms::{self, Of};
use gilscope::dashboard::rows::{Column, Sort};
use gilscope::dashboard::signals::SignalKey;
use gilscope::dashboard::state::{Focus, State, Whose};
use gilscope::dashboard::theme::{Depth, Symbols, Theme};
use gilscope::dashboard::timeline;
use gilscope::dashboard::view::ViewModel;
use gilscope::dashboard::views::View;
use gilscope::dashboard::widgets::screen;
use gilscope::event::{Cpu, ProcessKey, Signal, ThreadKey};
use gilscope::model::snapshot::ArrivalKind;
use gilscope::session::{Capabilities, Frame, Play};
use gilscope::time::{MonoNs, Ns};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::columns::busy_world;
use crate::fixtures;
use crate::fixtures::frames::{FORGETFUL, LIVE, REPLAY, busy, frame};
use crate::sampling::{ORIGIN, Sampling};
use crate::switches::{fused, snapshot};

const COLOR: Theme = Theme { depth: Depth::Ansi16, symbols: Symbols::Unicode };
const MONO: Theme = Theme { depth: Depth::Mono, symbols: Symbols::Ascii };

fn keep(name: &str, shot: String) {
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(format!("dashboard_{name}"), shot);
    });
}

/// The screen as text, with its styles after it.
fn shot(frame: &Frame, state: &State, session: Capabilities, theme: Theme, size: (u16, u16)) -> String {
    let view = ViewModel::of(frame, state, session);
    let mut buffer = Buffer::empty(Rect::new(0, 0, size.0, size.1));
    screen::draw(&view, theme, buffer.area, &mut buffer);
    format!("{buffer:?}")
}

#[test]
fn at_the_least_size() {
    let typical = frame(fixtures::typical(), Play::Live);
    keep("60x12_typical", shot(&typical, &State::default(), LIVE, COLOR, (60, 12)));
    let nothing = frame(fixtures::no_data(), Play::Live);
    keep("60x12_no_data", shot(&nothing, &State::default(), FORGETFUL, COLOR, (60, 12)));
    keep("59x12_too_small", shot(&typical, &State::default(), LIVE, COLOR, (59, 12)));
}

#[test]
fn at_80x24() {
    let shot = |frame: &Frame, state: &State, session, theme| shot(frame, state, session, theme, (80, 24));
    let plain = State::default();
    keep("80x24_typical", shot(&frame(fixtures::typical(), Play::Live), &plain, LIVE, COLOR));
    let selected = State {
        selected: Some(ThreadKey(2)),
        whose: Whose::Selected,
        filter: "http".to_owned(),
        sort: Sort::by(Column::P99).reversed(),
        ..State::default()
    };
    keep("80x24_selected_mono", shot(&frame(fixtures::typical(), Play::Live), &selected, LIVE, MONO));
    let hostile = busy(frame(fixtures::hostile_names(), Play::Paused));
    keep("80x24_hostile", shot(&hostile, &plain, LIVE, COLOR));
    let help = State { focus: Focus::Help { scrolled: 0 }, ..State::default() };
    keep("80x24_help", shot(&frame(fixtures::typical(), Play::Live), &help, LIVE, COLOR));
}

#[test]
fn interrupts_have_a_line_of_their_own() {
    let interrupted = frame(fixtures::interrupted(fixtures::typical()), Play::Live);
    let shown = shot(&interrupted, &State::default(), LIVE, MONO, (120, 40));
    let line = shown.lines().find(|line| line.contains("interrupts")).unwrap();
    for part in ["SIGUSR1 pending for", "now p50", "p99", "not predictable 10", "last SIGINT 2.00 ms"] {
        assert!(line.contains(part), "no {part}: {line}");
    }
    let plain = shot(&frame(fixtures::typical(), Play::Live), &State::default(), LIVE, MONO, (120, 40));
    assert!(!plain.contains("interrupts"), "nobody looks, and there is a line");
}

/// How long signals wait, and why: at the least size, on an ordinary terminal, and on a large one.
#[test]
fn the_interrupts_view() {
    let plain = State { view: View::Interrupts, ..State::default() };
    let signals = frame(fixtures::signals_to_a_busy_main(), Play::Live);
    keep("interrupts_60x12", shot(&signals, &plain, LIVE, COLOR, (60, 12)));
    keep("interrupts_80x24", shot(&signals, &plain, LIVE, COLOR, (80, 24)));
    keep("interrupts_120x40", shot(&signals, &plain, LIVE, COLOR, (120, 40)));
    let sigint =
        State { signal: Some(SignalKey { signal: Some(Signal::SIGINT), from: ArrivalKind::Trip }), ..plain.clone() };
    let replay = frame(fixtures::signals_to_a_busy_main(), Play::Paused);
    keep("interrupts_100x30_sigint_mono", shot(&replay, &sigint, REPLAY, MONO, (100, 30)));
    let nothing = frame(fixtures::signals_looked_for(fixtures::typical()), Play::Live);
    keep("interrupts_80x24_nothing_yet", shot(&nothing, &plain, LIVE, MONO, (80, 24)));
    let hostile = frame(fixtures::interrupted(fixtures::hostile_names()), Play::Live);
    keep("interrupts_80x24_hostile", shot(&hostile, &plain, LIVE, MONO, (80, 24)));
    let unwatched = frame(fixtures::typical(), Play::Live);
    assert!(shot(&unwatched, &plain, LIVE, MONO, (80, 24)).contains("signals have not been looked at"));
}

/// Who made whom wait, down to a stack.
#[test]
fn the_blame_view() {
    let plain = State { view: View::Blame, ..State::default() };
    let opened =
        |depth, part| State { blame: blame::Choice { depth, part, ..blame::Choice::default() }, ..plain.clone() };
    let blamed = frame(fixtures::blamed(fixtures::typical()), Play::Live);
    keep("blame_60x12", shot(&blamed, &plain, LIVE, COLOR, (60, 12)));
    keep("blame_80x24", shot(&blamed, &plain, LIVE, COLOR, (80, 24)));
    keep("blame_120x40", shot(&blamed, &plain, LIVE, COLOR, (120, 40)));
    keep("blame_100x30_pair_mono", shot(&blamed, &opened(Opened::Pair, 1), REPLAY, MONO, (100, 30)));
    keep("blame_80x24_stack", shot(&blamed, &opened(Opened::Stack, 1), LIVE, COLOR, (80, 24)));
    let crowd = frame(fixtures::blamed_crowd(fixtures::many_threads(400, 5), 300, 80), Play::Live);
    keep("blame_120x40_crowd", shot(&crowd, &plain, LIVE, MONO, (120, 40)));
    let hostile = frame(fixtures::blamed(fixtures::hostile_names()), Play::Live);
    keep("blame_80x24_hostile", shot(&hostile, &plain, LIVE, COLOR, (80, 24)));
    let nobody = frame(fixtures::idle(), Play::Live);
    assert!(shot(&nobody, &plain, LIVE, MONO, (80, 24)).contains("nobody has waited for the GIL"));
}

/// How much a cell is can be told without colour, and without its figure.
#[test]
fn heat_is_told_by_density() {
    let state = State { view: View::Blame, ..State::default() };
    let blamed = frame(fixtures::blamed(fixtures::typical()), Play::Live);
    let shown = shot(&blamed, &state, LIVE, MONO, (120, 40));
    for cell in ["#  31.0 %", "#  25.4 %", "%   9.9 %", "=   5.1 %", "-  0.85 %", "#  74.4 %"] {
        assert!(shown.contains(cell), "no {cell}: {shown}");
    }
}

/// A lane for each thread: from far, from near, with a cursor, and with a span.
#[test]
fn the_timeline_view() {
    let far = State { view: View::Timeline, ..State::default() };
    let at = |us: u64| Some(MonoNs(ORIGIN + us * 1_000));
    let near = |zoom, end, cursor, anchor| State {
        timeline: timeline::Choice { thread: Some(ThreadKey(1)), zoom, end: at(end), at: cursor, anchor },
        ..far.clone()
    };
    let lanes = frame(fixtures::lanes(), Play::Live);
    keep("timeline_60x12", shot(&lanes, &far, LIVE, COLOR, (60, 12)));
    keep("timeline_80x24", shot(&lanes, &far, LIVE, COLOR, (80, 24)));
    keep("timeline_120x40", shot(&lanes, &far, LIVE, COLOR, (120, 40)));
    let paused = frame(fixtures::lanes(), Play::Paused);
    let cursor = near(8, 1_030_000, at(1_012_345), None);
    keep("timeline_100x30_cursor", shot(&paused, &cursor, LIVE, COLOR, (100, 30)));
    let span = near(9, 1_100_000, at(1_083_000), at(1_033_000));
    keep("timeline_120x40_span_mono", shot(&paused, &span, REPLAY, MONO, (120, 40)));
    let closest = near(0, 1_012_400, at(1_012_345), None);
    keep("timeline_80x24_closest", shot(&paused, &closest, REPLAY, COLOR, (80, 24)));
    let many = frame(fixtures::lanes_of_many(), Play::Ended);
    keep("timeline_80x24_many_mono", shot(&many, &far, LIVE, MONO, (80, 24)));
    let nothing = frame(fixtures::no_data(), Play::Live);
    assert!(shot(&nothing, &far, LIVE, MONO, (80, 24)).contains("nothing was found yet"));
}

/// Half a minute of a program that does so much that segments are kept for a few seconds.
#[test]
fn the_timeline_beyond_what_is_kept_in_full() {
    let events = fused(&Sampling::at(Ns::MILLISECOND, 7), &busy_world().1);
    let long = frame(snapshot(&events), Play::Paused);
    let at = |ms: u64| Some(MonoNs(ORIGIN + ms * 1_000_000));
    let on = |zoom, end, cursor, anchor| State {
        view: View::Timeline,
        timeline: timeline::Choice { thread: Some(ThreadKey(1)), zoom, end: at(end), at: cursor, anchor },
        ..State::default()
    };
    keep("timeline_100x30_sums", shot(&long, &on(16, 29_900, at(18_300), None), REPLAY, COLOR, (100, 30)));
    let span = on(15, 29_900, at(27_050), at(21_234));
    keep("timeline_120x40_sums_span_mono", shot(&long, &span, REPLAY, MONO, (120, 40)));
    // Nothing is told where the bins that are left are wider than a column.
    let near = shot(&long, &on(9, 20_000, at(19_950), None), REPLAY, MONO, (100, 30));
    assert!(near.contains("~~~~~~") && near.contains("in sums of 10.0 ms from"), "{near}");
    let old = shot(&long, &on(9, 10_000, at(9_950), None), REPLAY, MONO, (100, 30));
    assert!(old.contains("in sums of 100 ms from"), "{old}");
}

#[test]
fn the_timeline_heeds_the_filter() {
    let lanes = frame(fixtures::lanes(), Play::Live);
    let with = |filter: &str| State { view: View::Timeline, filter: filter.to_owned(), ..State::default() };
    let echo = shot(&lanes, &with("IO-ECHO"), LIVE, MONO, (100, 30));
    assert!(echo.contains("io-echo") && !echo.contains("MainThread") && echo.contains("1 of 1 lanes"), "{echo}");
    assert!(echo.contains("filter: IO-ECHO"), "{echo}");
    let nobody = shot(&lanes, &with("nobody"), LIVE, MONO, (100, 30));
    assert!(nobody.contains("no thread that lived then matches the filter"), "{nobody}");
}

/// What was found, with its reasons; convoys; and durations beside each other.
#[test]
fn the_findings_convoys_and_histograms_views() {
    let state = |view| State { view, ..State::default() };
    let convoys = frame(fixtures::in_convoys(fixtures::typical()), Play::Live);
    keep("findings_60x12", shot(&convoys, &state(View::Findings), LIVE, COLOR, (60, 12)));
    keep("findings_80x24", shot(&convoys, &state(View::Findings), LIVE, COLOR, (80, 24)));
    keep("findings_120x40_mono", shot(&convoys, &state(View::Findings), LIVE, MONO, (120, 40)));
    let answer = State { finding: found::Choice { row: Some(FoundKey::Answer), scrolled: 0 }, ..state(View::Findings) };
    let idle = frame(fixtures::idle(), Play::Live);
    keep("findings_80x24_answer", shot(&idle, &answer, LIVE, COLOR, (80, 24)));
    keep("convoys_60x12", shot(&convoys, &state(View::Convoys), LIVE, COLOR, (60, 12)));
    keep("convoys_120x40", shot(&convoys, &state(View::Convoys), LIVE, COLOR, (120, 40)));
    keep("histograms_60x12", shot(&convoys, &state(View::Histograms), LIVE, COLOR, (60, 12)));
    let compared = State {
        histograms: histograms::Choice { row: Some(Of::Thread(ThreadKey(2))), against: Some(Of::All), mark: None },
        ..state(View::Histograms)
    };
    keep("histograms_100x30_mono", shot(&convoys, &compared, REPLAY, MONO, (100, 30)));
    keep("histograms_120x40", shot(&convoys, &state(View::Histograms), LIVE, COLOR, (120, 40)));
}

#[test]
fn several_processes() {
    let list = State { view: View::Processes, ..State::default() };
    let five = frame(fixtures::processes(5), Play::Live);
    keep("processes_60x12", shot(&five, &list, LIVE, COLOR, (60, 12)));
    keep("processes_120x24", shot(&five, &list, LIVE, COLOR, (120, 24)));
    let chosen = State { listed: Some(ProcessKey(97)), process: Some(ProcessKey(1)), ..list };
    let hundred = frame(fixtures::processes(100), Play::Paused);
    keep("processes_100x30_mono", shot(&hundred, &chosen, REPLAY, MONO, (100, 30)));
    let one = State { process: Some(ProcessKey(3)), ..State::default() };
    keep("processes_one_of_them_80x24", shot(&five, &one, LIVE, COLOR, (80, 24)));
}

/// What is not observed is never shown as nothing, and what took the time can be told in black and white.
#[test]
fn the_cores_view() {
    let state = State { view: View::Cores, ..State::default() };
    let two = frame(fixtures::on_cores(fixtures::typical(), 2), Play::Live);
    keep("cores_80x24_two", shot(&two, &state, LIVE, COLOR, (80, 24)));
    let eight = frame(fixtures::on_cores(fixtures::typical(), 8), Play::Live);
    keep("cores_120x40", shot(&eight, &state, LIVE, COLOR, (120, 40)));
    keep("cores_60x12", shot(&eight, &state, LIVE, COLOR, (60, 12)));
    let chosen = State { cores: cores::Choice { row: Some(Cpu(40)), ..cores::Choice::default() }, ..state.clone() };
    let many = frame(fixtures::on_cores(fixtures::typical(), 64), Play::Paused);
    keep("cores_100x30_64_mono", shot(&many, &chosen, LIVE, MONO, (100, 30)));
    let unfolded =
        State { cores: cores::Choice { row: Some(Cpu(130)), fold: cores::Fold::Nothing }, zoom: 6, ..state.clone() };
    let most = frame(fixtures::on_cores(fixtures::hostile_names(), 256), Play::Live);
    keep("cores_80x24_256", shot(&most, &unfolded, LIVE, COLOR, (80, 24)));
    keep("cores_80x24_256_folded", shot(&most, &state, LIVE, COLOR, (80, 24)));
    // As a recording of an older gilscope has it: neither others nor runs are known.
    let old = frame(fixtures::typical(), Play::Replaying);
    keep("cores_120x30_old", shot(&old, &state, REPLAY, COLOR, (120, 30)));
    keep("cores_60x12_no_data", shot(&frame(fixtures::no_data(), Play::Live), &state, LIVE, COLOR, (60, 12)));
}

#[test]
fn causes_of_a_delay_are_told_without_colour() {
    let plain = State { view: View::Interrupts, ..State::default() };
    let signals = frame(fixtures::signals_to_a_busy_main(), Play::Live);
    let shown = shot(&signals, &plain, LIVE, MONO, (120, 40));
    for part in [
        "> waiting for the GIL",
        "until its C handler had run",
        "not observed",
        "b report-builder",
        "* thread 99",
        "? nobody, or not seen",
        "71.0 % x31",
        "not predictable for 10.0 % of the time: 6.0 % in a wait or a C call that goes on",
        "SIGUSR1 3x: a fault of CPython 3.9 to 3.12: taken by another thread",
        "pending for 1.25 s",
        "last SIGUSR1 4.00 ms, 2.30 s ago",
    ] {
        assert!(shown.contains(part), "no {part}: {shown}");
    }
    for other in ["until", "in a C call", "behind another", "unknown"] {
        assert!(!shown.contains(&format!("> {other}")), "one part is the longest, and `{other}` is not");
    }
}

#[test]
fn at_120x40() {
    let shot = |frame: &Frame, state: &State, session, theme| shot(frame, state, session, theme, (120, 40));
    let plain = State::default();
    keep("120x40_typical", shot(&frame(fixtures::typical(), Play::Live), &plain, LIVE, COLOR));
    let replay = busy(frame(fixtures::many_threads(64, 64), Play::Replaying));
    keep("120x40_replay_64", shot(&replay, &plain, REPLAY, COLOR));
    keep("120x40_ended", shot(&frame(fixtures::ended(), Play::Ended), &plain, LIVE, COLOR));
    let asleep = frame(fixtures::sleeping_holder(), Play::Live);
    keep("120x40_asleep_mono", shot(&asleep, &plain, LIVE, MONO));
}
