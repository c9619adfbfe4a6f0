//! Every widget at every size, with everything that it may have to show.

use std::sync::Arc;

use gilscope::dashboard::blame::{self, Depth as Opened};
use gilscope::dashboard::cores;
use gilscope::dashboard::found::{self, FoundKey};
use gilscope::dashboard::histograms::{self, Of};
use gilscope::dashboard::mouse::Spots;
use gilscope::dashboard::rows::{Column, Sort};
use gilscope::dashboard::signals::SignalKey;
use gilscope::dashboard::state::{Focus, Panel, State, Whose, Window};
use gilscope::dashboard::theme::{Depth, Symbols, Theme};
use gilscope::dashboard::timeline;
use gilscope::dashboard::view::ViewModel;
use gilscope::dashboard::views::{self, View, interrupts, overview};
use gilscope::dashboard::widgets::{
    details, durations, figures, footer, head, help, lanes, screen, tabs, threads, transport,
};
use gilscope::event::{Cpu, Signal, ThreadKey};
use gilscope::model::snapshot::{ArrivalKind, Snapshot};
use gilscope::session::{Baseline, Capabilities, Frame, Play};
use gilscope::time::MonoNs;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::fixtures::frames::{FORGETFUL, LIVE, REPLAY, busy, frame};
use crate::fixtures::{self, Scene, Thread};
use crate::sampling::ORIGIN;

const THEMES: [Theme; 2] = [
    Theme { depth: Depth::TrueColor, symbols: Symbols::Unicode },
    Theme { depth: Depth::Mono, symbols: Symbols::Ascii },
];

/// What there may be to show, with what the user may have chosen.
fn cases() -> Vec<(&'static str, Frame, State, Capabilities)> {
    let plain = State::default;
    let hostile = || {
        let long = "\u{1b}[2J\u{202e}".repeat(2_000);
        let mut snapshot = fixtures::hostile_names();
        snapshot.processes[0].threads[3].name = long;
        snapshot
    };
    let selected = |key: u32| State {
        selected: Some(ThreadKey(key)),
        whose: Whose::Selected,
        sort: Sort::by(Column::Name),
        ..State::default()
    };
    let blamed = |depth| State {
        blame: blame::Choice { depth, part: 1, scrolled: 2, ..blame::Choice::default() },
        ..State::default()
    };
    let many = || fixtures::many_threads(1_000, 5);
    let no_choice = histograms::Choice::default();
    let mark = fixtures::START + gilscope::time::Ns::from_millis(3_000);
    let with_mark = |snapshot: Snapshot| {
        let mut frame = busy(frame(snapshot, Play::Paused));
        frame.baseline = Some(Arc::new(Baseline { at: mark, snapshot: Arc::clone(&frame.snapshot) }));
        frame
    };
    let split = |row| State { histograms: histograms::Choice { row, mark: Some(mark), ..no_choice }, ..plain() };
    let spanned = |zoom| State {
        timeline: timeline::Choice {
            thread: Some(ThreadKey(2)),
            zoom,
            end: Some(MonoNs(ORIGIN + 250_000_000)),
            at: Some(MonoNs(ORIGIN + 249_950_000)),
            anchor: Some(MonoNs(ORIGIN + 200_000_000)),
        },
        ..State::default()
    };
    vec![
        ("no data", frame(fixtures::no_data(), Play::Live), plain(), FORGETFUL),
        ("just found", frame(fixtures::just_found(), Play::Live), plain(), LIVE),
        ("no gil", frame(fixtures::free_threaded(), Play::Live), plain(), LIVE),
        ("one thread", frame(fixtures::many_threads(1, 1), Play::Live), plain(), LIVE),
        ("two gils", frame(fixtures::two_interpreters(), Play::Live), State { gil: 1, ..plain() }, LIVE),
        ("1000 threads", frame(many(), Play::Live), State { selected: selected(777).selected, ..plain() }, LIVE),
        ("hostile", busy(frame(hostile(), Play::Live)), selected(3), LIVE),
        (
            "hostile filter",
            frame(hostile(), Play::Live),
            State {
                filter: "日本\u{301}\u{202e}".repeat(16),
                focus: Focus::Filter { before: String::new() },
                ..plain()
            },
            LIVE,
        ),
        ("ended", frame(fixtures::ended(), Play::Ended), State { window: Window::Whole, ..plain() }, LIVE),
        ("paused", frame(fixtures::typical(), Play::Paused), plain(), LIVE),
        ("interrupted", busy(frame(fixtures::interrupted(hostile()), Play::Live)), plain(), LIVE),
        ("signals", frame(fixtures::signals_to_a_busy_main(), Play::Paused), plain(), LIVE),
        ("looked for", frame(fixtures::signals_looked_for(fixtures::typical()), Play::Live), plain(), LIVE),
        (
            "thousands of signals",
            frame(fixtures::signals_beyond_reason(hostile()), Play::Replaying),
            State { signal: Some(SignalKey { signal: Some(Signal::SIGUSR1), from: ArrivalKind::Generate }), ..plain() },
            REPLAY,
        ),
        ("blamed", frame(fixtures::blamed(hostile()), Play::Live), blamed(Opened::Pair), LIVE),
        ("a stack", frame(fixtures::blamed(fixtures::typical()), Play::Live), blamed(Opened::Stack), LIVE),
        ("a crowd", frame(fixtures::blamed_crowd(many(), 300, 90), Play::Live), blamed(Opened::Matrix), LIVE),
        ("no stacks", frame(fixtures::blamed_without_stacks(fixtures::typical()), Play::Live), plain(), REPLAY),
        (
            "beyond reason",
            busy(frame(fixtures::convoys_beyond_reason(fixtures::blamed_beyond_reason(hostile())), Play::Replaying)),
            State {
                finding: found::Choice { row: Some(FoundKey::Answer), scrolled: usize::MAX },
                histograms: histograms::Choice {
                    row: Some(Of::Thread(ThreadKey(3))),
                    against: Some(Of::All),
                    mark: None,
                },
                ..blamed(Opened::Stack)
            },
            REPLAY,
        ),
        (
            "convoys",
            frame(fixtures::in_convoys(hostile()), Play::Live),
            State {
                histograms: histograms::Choice { against: Some(Of::Thread(ThreadKey(5))), ..no_choice },
                ..plain()
            },
            LIVE,
        ),
        ("before and after a mark", with_mark(hostile()), split(None), LIVE),
        ("a thread before and after", with_mark(many()), split(Some(Of::Thread(ThreadKey(7)))), REPLAY),
        ("a mark to come", busy(frame(hostile(), Play::Paused)), split(None), REPLAY),
        (
            "an instant is typed",
            busy(frame(fixtures::typical(), Play::Paused)),
            State { focus: Focus::Instant { typed: "日本\u{301}\u{202e}#".repeat(9) }, ..selected(2) },
            REPLAY,
        ),
        ("64 cores", frame(fixtures::many_threads(64, 64), Play::Live), selected(9), LIVE),
        ("no convoys", frame(fixtures::convoys_not_found(fixtures::typical()), Play::Live), plain(), LIVE),
        ("lanes", frame(fixtures::lanes(), Play::Live), plain(), LIVE),
        ("lanes in ASCII", busy(frame(fixtures::lanes(), Play::Ended)), spanned(4), LIVE),
        ("lanes from near", busy(frame(fixtures::lanes(), Play::Paused)), spanned(0), REPLAY),
        ("a thousand lanes", frame(fixtures::lanes_of_many(), Play::Replaying), spanned(9), REPLAY),
        ("replay", busy(frame(fixtures::contended(3), Play::Replaying)), State { zoom: 0, ..plain() }, REPLAY),
        ("asleep", frame(fixtures::sleeping_holder(), Play::Live), State { zoom: 12, ..plain() }, REPLAY),
        (
            "cores",
            frame(fixtures::on_cores(hostile(), 8), Play::Live),
            State { cores: cores::Choice { row: Some(Cpu(3)), ..cores::Choice::default() }, zoom: 5, ..plain() },
            LIVE,
        ),
        ("256 cores", frame(fixtures::on_cores(many(), 256), Play::Paused), plain(), LIVE),
        (
            "256 cores one by one",
            frame(fixtures::on_cores(hostile(), 256), Play::Live),
            State { cores: cores::Choice { row: Some(Cpu(200)), fold: cores::Fold::Nothing }, zoom: 12, ..plain() },
            LIVE,
        ),
        ("processes", frame(fixtures::processes(5), Play::Live), plain(), LIVE),
        ("100 processes", frame(fixtures::processes(100), Play::Paused), plain(), REPLAY),
        ("help", frame(fixtures::typical(), Play::Live), State { focus: Focus::Help { scrolled: 9 }, ..plain() }, LIVE),
    ]
}

/// All small ones, and some of the larger ones.
fn sizes() -> Vec<(u16, u16)> {
    let small = (0..12).flat_map(|width| (0..12).map(move |height| (width, height)));
    let widths = [13, 30, 59, 60, 61, 80, 99, 120, 160, 250];
    let heights = [1, 2, 3, 5, 11, 12, 13, 24, 40, 70];
    let large = widths.into_iter().flat_map(|width| heights.map(|height| (width, height)));
    let tall = [1, 4, 8].into_iter().flat_map(|width| [20, 60].map(|height| (width, height)));
    small.chain(large).chain(tall).collect()
}

type Draw = fn(&ViewModel<'_>, Theme, Rect, &mut Buffer);

fn widgets() -> [(&'static str, View, Draw); 20] {
    let over = View::Overview;
    [
        ("head", over, head::draw),
        ("threads", over, threads::draw),
        ("figures", over, figures::draw),
        ("details", over, details::draw),
        ("lanes", over, lanes::draw),
        ("durations", over, durations::draw),
        ("overview", over, overview::draw),
        ("cores", View::Cores, views::cores::draw),
        ("timeline", View::Timeline, views::timeline::draw),
        ("histograms", View::Histograms, views::histograms::draw),
        ("convoys", View::Convoys, views::convoys::draw),
        ("interrupts", View::Interrupts, interrupts::draw),
        ("blame", View::Blame, views::blame::draw),
        ("findings", View::Findings, views::findings::draw),
        ("processes", View::Processes, views::processes::draw),
        ("tabs", over, tabs::draw),
        ("transport", over, transport::draw),
        ("footer", over, footer::draw),
        ("help", over, |view, theme, area, buffer| help::draw(view, 3, theme, area, buffer)),
        ("screen", over, screen::draw),
    ]
}

/// Nothing that a terminal obeys may be in a cell.
fn assert_harmless(buffer: &Buffer, what: &str) {
    for cell in buffer.content() {
        let hostile = cell.symbol().chars().find(|c| {
            c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        });
        assert_eq!(hostile, None, "{what}");
    }
}

#[test]
fn every_widget_draws_at_every_size_and_stays_in_its_place() {
    draw_every_widget(&sizes());
}

#[test]
#[ignore = "minutes long: cargo test --release --test it -- --ignored really_every_size"]
fn every_widget_draws_at_really_every_size() {
    let sizes: Vec<(u16, u16)> = (0..=250).flat_map(|width| (0..=70).map(move |height| (width, height))).collect();
    draw_every_widget(&sizes);
}

fn draw_every_widget(sizes: &[(u16, u16)]) {
    for (name, frame, state, session) in &cases() {
        for (widget, shown, draw) in widgets() {
            let state = State { view: shown, ..state.clone() };
            let view = ViewModel::of(frame, &state, *session);
            for &(width, height) in sizes {
                let theme = THEMES[usize::from((width + height) % 2)];
                let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
                draw(&view, theme, buffer.area, &mut buffer);
                assert_harmless(&buffer, &format!("{widget} with {name} at {width}x{height}"));
            }
            // In a place of its own within a larger screen, it leaves the rest alone; and one that is not on the
            // screen at all is no place.
            let mut buffer = Buffer::empty(Rect::new(0, 0, 90, 30));
            let place = Rect::new(7, 3, 70, 20);
            draw(&view, THEMES[0], place, &mut buffer);
            draw(&view, THEMES[0], Rect::new(90, 30, 20, 20), &mut buffer);
            draw(&view, THEMES[0], Rect::new(80, 25, 0, 0), &mut buffer);
            for (x, y) in (0..90).flat_map(|x| (0..30).map(move |y| (x, y))) {
                let inside = place.contains((x, y).into());
                assert!(inside || buffer[(x, y)].symbol() == " ", "{widget} with {name} at {x},{y}");
            }
        }
    }
}

#[test]
fn the_whole_screen_draws_at_every_size() {
    let cases = cases();
    for (i, (name, frame, state, session)) in cases.iter().enumerate() {
        let panels = [Panel::All, Panel::Threads, Panel::Lanes, Panel::Durations].map(|panel| (View::Overview, panel));
        let views = View::ALL.into_iter().skip(1).map(|view| (view, Panel::All));
        for (shown, panel) in panels.into_iter().chain(views) {
            let state = State { view: shown, panel, ..state.clone() };
            let view = ViewModel::of(frame, &state, *session);
            // Each case takes its share of all sizes, so that together they have had them all.
            let every = if panel == Panel::All { cases.len() } else { 4 * cases.len() };
            for number in (0..251usize * 71).filter(|number| (number + i) % every == 0) {
                let (width, height) = ((number % 251) as u16, (number / 251) as u16);
                let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
                screen::draw(&view, THEMES[number % 2], buffer.area, &mut buffer);
                assert_harmless(&buffer, &format!("{name} at {width}x{height}"));
                let theme = THEMES[number % 2];
                let is_plain = |cell: &ratatui::buffer::Cell| cell.symbol().is_ascii();
                assert!(theme.symbols == Symbols::Unicode || buffer.content().iter().all(is_plain), "{name}");
                let body = screen::places(&view, buffer.area).body;
                let (page, reach) = (shown.page(&view, body), shown.reach(&view, body));
                assert!(page < 1_000 && reach < 100_000, "{name} at {width}x{height}: {page}, {reach}");
                let spots = Spots::of(&view, buffer.area);
                let inside = buffer.area;
                assert!(spots.areas().all(|area| area.intersection(inside) == area), "{name} at {width}x{height}");
            }
        }
    }
}

#[test]
fn places_never_overlap_and_fill_the_screen() {
    for (name, frame, state, session) in &cases() {
        let view = ViewModel::of(frame, state, *session);
        for (width, height) in [(60, 12), (60, 13), (80, 24), (100, 17), (120, 40), (200, 60)] {
            let places = screen::places(&view, Rect::new(0, 0, width, height));
            let panels = overview::places(&view, places.body);
            let all = [
                places.head,
                places.tabs,
                panels.figures,
                panels.details,
                panels.threads,
                panels.lanes,
                panels.durations,
                places.transport,
                places.footer,
            ];
            let lines: u16 = all.iter().map(|place| place.height).sum();
            assert_eq!(lines, height, "{name} at {width}x{height}: {places:?} {panels:?}");
            for (i, one) in all.iter().enumerate() {
                assert!(all[i + 1..].iter().all(|other| one.intersection(*other).is_empty()), "{name}: {places:?}");
            }
            assert!(panels.threads.height >= 3 || !panels.details.is_empty(), "{name} at {width}x{height}: {panels:?}");
        }
    }
}

#[test]
fn a_bar_of_states_is_as_long_as_its_column() {
    let states = Thread::named("t").holds(0.13).holds_asleep(0.11).waits(0.17).native(0.19).queues(0.07).unknown(0.3);
    let snapshot = Scene::new(3).thread(states).snapshot();
    let frame = frame(snapshot, Play::Live);
    let view = ViewModel::of(&frame, &State::default(), LIVE);
    let mut buffer = Buffer::empty(Rect::new(0, 0, 120, 5));
    threads::draw(&view, THEMES[1], buffer.area, &mut buffer);
    let row: String = (0..120).map(|x| buffer[(x, 2)].symbol()).collect();
    let bar: String = row.chars().skip_while(|c| *c != '#').take_while(|c| *c != ' ').collect();
    for block in ["#", "Z", "=", "-", "q", "?"] {
        assert!(bar.contains(block), "{bar} lacks {block}");
    }
    assert_eq!(bar.len(), 16, "{bar}");
}
