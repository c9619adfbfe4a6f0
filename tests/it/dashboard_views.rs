//! Histograms, convoys, blame and findings in the real loop: what keys and mouse do there.

use std::sync::Arc;

use gilscope::dashboard::Leaving;
use gilscope::dashboard::rows::{Column, Ended, Sort, rows};
use gilscope::dashboard::state::State;
use gilscope::dashboard::theme::{Depth, Symbols, Theme};
use gilscope::dashboard::view::ViewModel;
use gilscope::dashboard::views::View;
use gilscope::dashboard::widgets::threads;
use gilscope::model::snapshot::ThreadState;
use gilscope::session::{Command, Play};
use gilscope::time::Ns;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Rect;

use crate::dashboard_loop::{Cue, Played, key, on, play_on, typed};
use crate::fixtures;
use crate::fixtures::frames::{FORGETFUL, LIVE, frame};

fn blamed(keys: &str) -> Played {
    play_on(frame(fixtures::blamed(fixtures::typical()), Play::Live), LIVE, typed(&on(View::Blame, keys)))
}

/// The line of the screen with a text in it, and where.
fn find(played: &Played, text: &str) -> (u16, u16) {
    let found = played.screen.iter().enumerate().find_map(|(y, line)| Some((line.find(text)?, y)));
    let (x, y) = found.unwrap_or_else(|| panic!("no {text} on:\n{}", played.screen.join("\n")));
    (x as u16, y as u16)
}

fn mouse(kind: MouseEventKind, (column, row): (u16, u16)) -> Cue {
    let modifiers = ratatui::crossterm::event::KeyModifiers::NONE;
    Cue::Hear(gilscope::dashboard::console::Heard::Mouse(MouseEvent { kind, column, row, modifiers }))
}

fn click(at: (u16, u16)) -> Cue {
    mouse(MouseEventKind::Down(MouseButton::Left), at)
}

/// So many turns of the wheel, not too fast.
fn wheel(kind: MouseEventKind, at: (u16, u16), turns: usize) -> Vec<Cue> {
    let pause = || Cue::Wait(std::time::Duration::from_millis(30));
    (0..turns).flat_map(|_| [mouse(kind, at), pause()]).collect()
}

#[test]
fn the_matrix_adds_up_and_the_biggest_come_first() {
    let matrix = blamed("");
    let (_, header) = find(&matrix, "waiter ");
    let names: Vec<&str> = matrix.screen[usize::from(header) + 1..]
        .iter()
        .map_while(|line| line.get(2..10).map(str::trim).filter(|name| *name != "all"))
        .collect();
    assert_eq!(names, ["http-2", "http-1", "http-3", "report-b", "others"]);
    let header = &matrix.screen[usize::from(header)];
    let places: Vec<usize> = ["scheduler", "b repor", "http-1", "http-2", "others", "not seen"]
        .map(|name| header.find(name).unwrap_or_else(|| panic!("no {name} in {header}")))
        .into();
    assert!(places.is_sorted(), "{header}");
    // 1100 ms of 3550 in all.
    assert!(matrix.has("31.0 %") && matrix.has("3.55 s waited") && matrix.has("http-2 behind report-builder"));
    assert!(blamed("u").has("of each waiter's own") && blamed("u").has("92.4 %"), "of 1190 ms");
    assert!(blamed("uu").has("1.10 s") && blamed("uuu").has("31.0 %"));
}

#[test]
fn a_cell_is_chosen_opened_and_left() {
    // Unless one is chosen, the largest is looked at; what is below it is of that cell.
    assert!(blamed("j").has("http-1 behind report-builder"));
    assert!(blamed("h").has("http-2, GIL free"), "the scheduler's column");
    assert!(blamed("hhhh").has("Nobody held the GIL"));
    assert!(blamed("jl").has("http-1 behind http-1") && blamed("jl").has("does not wait behind itself"));
    assert!(blamed("G").has("others behind report-builder") && blamed("Ggllllll").has("http-2, holder not seen"));
    let open = blamed("\n");
    assert!(open.has("4 stacks") && open.has("parse_rows") && open.has("report.py:12") && open.has("n=312"));
    assert!(open.has("an_once") && open.has("unsampled") && open.has("55.0 %"));
    assert!(open.has("frames, the innermost first") && !open.has("scheduler"));
    assert_eq!(open.selected.len(), 1);
    let second = blamed("\nj");
    assert!(second.screen[second.selected[0]].contains("parse_rows"));
    assert!(second.has("in _json.cpython-311.so:scan_once"), "its stack says where in native code");
    let stack = blamed("\nj\n");
    assert!(stack.has("/srv/app/report.py:52") && stack.has("Thread._bootstrap") && !stack.has("samples"));
    assert!(blamed("\n\n\u{1b}").has("4 stacks") && blamed("\n\n\u{1b}\u{1b}").has("scheduler"));
    assert!(blamed("\n\n\u{1b}\u{1b}\u{1b}\u{1b}").has("GIL by core"));
    // A long hold names, and divides nothing; no Python function is not "unsampled".
    assert!(blamed("jjjl\n").has("seen once") && blamed("jjjl\n").has("Handler.do_GET"));
    assert!(blamed("jll\n").has("no Python function"));
    let without = frame(fixtures::blamed_without_stacks(fixtures::typical()), Play::Live);
    assert!(play_on(without, LIVE, typed(&on(View::Blame, ""))).has("this interpreter's frames cannot be read"));
    let nobody = play_on(frame(fixtures::idle(), Play::Live), LIVE, typed(&on(View::Blame, "j\nl\n")));
    assert!(nobody.has("nobody has waited"));
}

#[test]
fn hundreds_of_waiters_are_scrolled_and_those_beyond_are_summed() {
    let crowd = |keys: &str| {
        let snapshot = fixtures::blamed_crowd(fixtures::many_threads(400, 5), 300, 80);
        play_on(frame(snapshot, Play::Live), LIVE, typed(&on(View::Blame, keys)))
    };
    let top = crowd("");
    assert!(top.has("of 201,") && top.has("of 62,"), "200 and 60 by themselves, the scheduler's, and the others'");
    let bottom = crowd("G");
    let (_, all) = find(&bottom, "  all   ");
    assert!(bottom.screen[usize::from(all) - 1].starts_with("  others "));
    let right = crowd(&"l".repeat(70));
    assert!(right.screen[usize::from(find(&right, "waiter ").1)].trim_end().ends_with("others"));
    // The largest pair of so many is named on the first screen.
    assert!(top.screen.iter().any(|line| line.starts_with("- ThreadPoo") || line.starts_with("- MainThread behind")));
}

fn found(keys: &str) -> Played {
    play_on(frame(fixtures::in_convoys(fixtures::one_victim()), Play::Live), LIVE, typed(&on(View::Findings, keys)))
}

#[test]
fn findings_say_why_what_to_do_and_what_it_means() {
    let first = found("");
    assert!(first.has("convoy") && first.has("problem") && first.has("The GIL is"), "{:#?}", first.screen);
    assert!(first.has("What to do") && first.has("Evidence") && first.has("lines 1-"));
    assert_eq!(first.selected.len(), 1);
    let answer = found("g");
    assert!(answer.has("The answer") && !answer.has("What to do"));
    assert_ne!(found("g").selected, found("j").selected);
    // The text scrolls by itself, to its end and no further.
    let down = KeyCode::PageDown;
    let pages = |down_by: usize, up_by: usize| {
        let mut cues = typed(&on(View::Findings, ""));
        cues.extend((0..down_by).map(|_| key(down)).chain((0..up_by).map(|_| key(KeyCode::PageUp))));
        play_on(frame(fixtures::in_convoys(fixtures::one_victim()), Play::Live), LIVE, cues)
    };
    assert_eq!(pages(1, 0).selected, first.selected);
    assert!(!pages(1, 0).has("lines 1-") && pages(1, 1).has("lines 1-"));
    assert!(pages(20, 0).has("What helps: move the computing"), "{:#?}", pages(20, 0).screen);
    assert!(!pages(20, 1).has("cost the threads that compute some of their time. Pinning"));
    assert_eq!(pages(20, 20).screen, first.screen, "it was not scrolled further than its end");
    // From there to where it shows.
    assert!(found("\n").has("victim") && found("\n").has("switch interval was"));
    assert!(found("j\u{1b}\u{1b}").has("GIL by core"));
    let nothing = play_on(frame(fixtures::no_data(), Play::Live), LIVE, typed(&on(View::Findings, "jG\n")));
    assert!(nothing.has("nothing observed yet"));
}

#[test]
fn convoys_are_told_one_by_one_and_visited() {
    let with = |keys: &str, session| {
        let snapshot = fixtures::in_convoys(fixtures::typical());
        play_on(frame(snapshot, Play::Live), session, typed(&on(View::Convoys, keys)))
    };
    let shown = with("", LIVE);
    for text in ["http-1", "b report-builder", "160", "810 ms", "x5.3", "5.00 ms", "5.06 ms", "11.0 s", "90.0 %"] {
        assert!(shown.has(text), "no {text} in {:#?}", shown.screen);
    }
    assert!(with("j", LIVE).has("70.0 %"), "the one before");
    let second_ends = fixtures::START + gilscope::time::Ns::from_millis(12_000 - 4_200);
    assert_eq!(with("j\n", LIVE).asked, [Command::SeekTo(second_ends)]);
    assert_eq!(with("j\n", FORGETFUL).asked, []);
    let none = |snapshot| play_on(frame(snapshot, Play::Live), LIVE, typed(&on(View::Convoys, "j\n")));
    assert!(none(fixtures::typical()).has("none was found"));
    assert!(none(fixtures::convoys_not_found(fixtures::typical())).has("too few looks"));
    assert_eq!(none(fixtures::typical()).asked, []);
}

#[test]
fn histograms_of_one_thread_stand_beside_those_of_another() {
    let with = |keys: &str| play_on(frame(fixtures::typical(), Play::Live), LIVE, typed(&on(View::Histograms, keys)));
    let all = with("");
    assert!(all.has("Waits of all threads") && all.has("Holds of all threads") && all.has("p50"));
    assert!(with("j").has("Waits of http-2") && !with("j").has("compared"));
    let both = with("jcj");
    assert!(both.has("Waits of http-1") && both.has("compared with http-2") && both.has("="));
    assert!(!with("jcc").has("compared") && !with("jcj\u{1b}").has("compared"));
    assert!(with("jcj\u{1b}").has("Waits of http-1") && with("jcj\u{1b}\u{1b}").has("Waits of all"));
    assert!(with("G").has("Waits of") && with("G").has("none seen whole yet"));
}

/// What is typed to filter by is heeded wherever rows are threads, and can be seen.
#[test]
fn the_filter_is_heeded_in_every_view_with_threads() {
    let with = |view, keys: &str| {
        let snapshot = fixtures::blamed(fixtures::in_convoys(fixtures::typical()));
        play_on(frame(snapshot, Play::Live), LIVE, typed(&on(view, keys)))
    };
    let list = with(View::Histograms, "/http\n");
    assert!(list.has("filter: http") && list.has("http-1") && !list.has("report-builder"), "{:#?}", list.screen);
    let convoys = with(View::Convoys, "/nobody\n");
    assert!(with(View::Convoys, "").has("810 ms") && with(View::Convoys, "/http\n").has("810 ms"));
    assert!(!convoys.has("810 ms") && convoys.has("filter: nobody"), "{:#?}", convoys.screen);
    // Of a matrix the rows are filtered: who waits. Shares stay those of all waiting.
    let matrix = with(View::Blame, "/http-2\n");
    assert!(matrix.has("31.0 %") && matrix.has("d http-2") && !matrix.has("http-3 "));
    let cleared = with(View::Blame, "/http-2\n\u{1b}");
    assert!(!cleared.has("filter: ") && cleared.has("scheduler"), "Esc clears it, and stays");
    assert!(
        with(View::Overview, &format!("/http\n{}", on(View::Histograms, ""))).has("filter: http"),
        "it is the same everywhere"
    );
}

/// Waits and holds before a mark, beside those after it.
#[test]
fn before_and_after_a_mark() {
    let at = |s: u64| fixtures::START + gilscope::time::Ns(s * 1_000_000_000);
    let scene = |baseline: Option<(u64, gilscope::model::snapshot::Snapshot)>| {
        let mut frame = frame(fixtures::typical(), Play::Live);
        frame.status.marks = [3, 9].map(|s| gilscope::session::Mark { at: at(s) }).to_vec();
        frame.baseline = baseline
            .map(|(s, snapshot)| Arc::new(gilscope::session::Baseline { at: at(s), snapshot: Arc::new(snapshot) }));
        frame
    };
    let with = |keys: &str, frame| play_on(frame, LIVE, typed(&on(View::Histograms, keys)));
    // The newest first, then the one before, then none.
    let asked = with("CCCC", scene(None)).asked;
    let [first, second, none, again] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!([first, second], [&Command::CompareWith(Some(at(9))), &Command::CompareWith(Some(at(3)))]);
    assert_eq!([none, again], [&Command::CompareWith(None), &Command::CompareWith(Some(at(9)))]);
    assert!(with("C", scene(None)).has("it is being worked out"));
    // Nothing was there before: everything came after it.
    let mut nothing = fixtures::typical();
    for process in &mut nothing.processes {
        process.threads.clear();
        process.interpreters.clear();
    }
    let all = with("C", scene(Some((9, nothing))));
    assert!(all.has("before mark #2") && all.has("after mark #2") && all.has("none seen whole yet"));
    assert!(with("", scene(None)).has("791  p50 5.18 ms") && all.has("791  p50 5.18 ms"), "{:#?}", all.screen);
    // All was there before: nothing came after it.
    let unchanged = with("C", scene(Some((9, fixtures::typical()))));
    assert!(unchanged.has("before mark #2") && unchanged.has("none seen whole yet"));
    assert!(with("C\u{1b}", scene(None)).has("Waits of all threads"));
    let none = play_on(frame(fixtures::typical(), Play::Live), LIVE, typed(&on(View::Histograms, "C")));
    assert!(none.asked.is_empty() && none.has("there is no mark yet"));
}

/// Threads that have ended share a row if they are called alike, which has the sums; each can be seen for itself.
#[test]
fn ended_threads_share_a_row() {
    let server = || {
        let mut snapshot = fixtures::many_threads(40, 5);
        let threads = &mut snapshot.processes[0].threads;
        for (number, thread) in threads.iter_mut().enumerate().skip(5) {
            thread.name = format!("Thread-{number} (handle)");
            (thread.end, thread.now, thread.lost) = (Some(snapshot.at), ThreadState::Ended, Ns::from_millis(10));
        }
        threads[4].name = "Thread-4 (handle)".to_owned();
        threads[4].now = ThreadState::Idle;
        snapshot
    };
    let all = server();
    let rows = rows(&all.processes[0], None, "", Sort::by(Column::Lost), Ended::Together);
    let sums: Vec<(usize, Ns)> = rows.iter().map(|row| (row.count(), row.lost())).skip(5).collect();
    assert_eq!(sums, [(35, Ns::from_millis(350))]);
    let server = |keys: &str| play_on(frame(server(), Play::Live), LIVE, typed(keys));
    let together = server("");
    assert!(together.has("Thread-# (handle) x35"), "{:#?}", together.screen);
    assert!(together.has("Thread-4 (handle)") && !together.has("Thread-32 (handle)"), "one that is there is itself");
    let apart = server("G\n");
    assert!(apart.has("Thread-32 (handle)") && !apart.has(" x35"), "{:#?}", apart.screen);
    // First the selection goes.
    assert!(server("G\n\u{1b}\u{1b}").has(" x35"));
}

#[test]
fn one_thread_in_full() {
    let with = |keys: &str| {
        let snapshot = fixtures::blamed(fixtures::typical());
        play_on(frame(snapshot, Play::Live), LIVE, typed(keys))
    };
    let shown = with("g\n");
    for text in ["Thread d http-2", "a Python thread", "its time", "waits", "holds", "time lost", "waited behind"] {
        assert!(shown.has(text), "no {text} in {:#?}", shown.screen);
    }
    assert!(shown.has("b report-builder: 1.10 s") && shown.has("55.0 % of it in Report.render"), "{:#?}", shown.screen);
    // It follows the cursor, and goes.
    assert!(with("g\nj").has("http-1") && !with("g\nj").has("Thread d http-2"));
    assert!(with("g\n\u{1b}").has("GIL by core") && with("g\n\n").has("GIL by core"));
}

#[test]
fn the_mouse_chooses_views_rows_and_cells() {
    let play = |keys: &str, cues: Vec<Cue>| {
        let snapshot = fixtures::blamed(fixtures::in_convoys(fixtures::signals_to_a_busy_main()));
        let cues = typed(keys).into_iter().chain(cues).collect();
        play_on(frame(snapshot, Play::Live), LIVE, cues)
    };
    let plain = play("", vec![]);
    assert!(play("", vec![click(find(&plain, "Blame"))]).has("http-2 behind report-builder"));
    // Of long titles there may be room for a part only.
    for (title, text) in [
        ("Findings", "What to do"),
        ("Convoys", "810 ms"),
        ("Interrupts", "Where the time went"),
        ("Histograms", "sum"),
    ] {
        assert!(play("", vec![click(find(&plain, &title[..6]))]).has(text), "{title}");
    }
    // A row, and the head of a column to sort by; again: the other way round.
    let row = find(&plain, "report-builder   ");
    let chosen = play("", vec![click(row)]);
    assert!(chosen.selected == [usize::from(row.1)] && chosen.screen[usize::from(row.1)].contains("report-builder"));
    let (x, y) = find(&plain, "   hold ");
    let hold = (x + 4, y);
    assert!(play("", vec![click(hold)]).has("by hold v") && play("", vec![click(hold), click(hold)]).has("by hold ^"));
    // A cell; again: what is behind it.
    let matrix = play(&on(View::Blame, ""), vec![]);
    let (_, y) = find(&matrix, "c http-1      ");
    let x = (matrix.screen[usize::from(y)].rfind(" %").unwrap()) as u16;
    let cell = play(&on(View::Blame, ""), vec![click((x, y))]);
    assert!(cell.has("http-1 behind http-2"), "{:#?}", cell.screen);
    assert!(play(&on(View::Blame, ""), vec![click((x, y)), click((x, y))]).has("no Python function"));
    let open = play(&on(View::Blame, "\n"), vec![]);
    let parse = find(&open, "parse_rows");
    assert!(play(&on(View::Blame, "\n"), vec![click(parse)]).has("in _json.cpython-311.so"));
    assert!(play(&on(View::Blame, "\n"), vec![click(parse), click(parse)]).has("/srv/app/report.py:52"));
    let convoy = play(&on(View::Convoys, ""), vec![]);
    let older = find(&convoy, "6.80 s");
    assert!(play(&on(View::Convoys, ""), vec![click(older)]).has("70.0 %"));
    let signals = play(&on(View::Interrupts, ""), vec![]);
    assert!(play(&on(View::Interrupts, ""), vec![click(find(&signals, "SIGINT  "))]).has("Measured SIGINT"));
    let list = play(&on(View::Histograms, ""), vec![]);
    assert!(play(&on(View::Histograms, ""), vec![click(find(&list, "http-1"))]).has("Waits of http-1"));
    assert!(play("", vec![click(find(&plain, "slow-interrupt"))]).has("What to do"));
    // Nothing is there, and nothing happens.
    assert_eq!(play("", vec![click((99, 29)), click((500, 500))]).screen, plain.screen);
}

#[test]
fn the_wheel_moves_and_does_not_run_away() {
    let play = |keys: &str, cues: Vec<Cue>| {
        let snapshot = fixtures::in_convoys(fixtures::one_victim());
        play_on(frame(snapshot, Play::Live), LIVE, typed(keys).into_iter().chain(cues).collect())
    };
    use MouseEventKind::{ScrollDown, ScrollLeft, ScrollUp};
    let middle = (50, 12);
    assert_eq!(play("", wheel(ScrollDown, middle, 2)).selected, play("jj", vec![]).selected);
    assert_eq!(play("jj", wheel(ScrollUp, middle, 1)).selected, play("j", vec![]).selected);
    // A touchpad's burst is one turn.
    let burst = (0..40).map(|_| mouse(ScrollDown, middle)).collect();
    assert_eq!(play("", burst).selected, play("j", vec![]).selected);
    // Over the text it scrolls the text, over the list it chooses.
    let text = play(&on(View::Findings, ""), wheel(ScrollDown, (40, 25), 3));
    assert!(text.has("lines 4-") && text.selected == play(&on(View::Findings, ""), vec![]).selected);
    let list = (30, find(&play(&on(View::Findings, ""), vec![]), "The GIL is").1);
    assert!(play(&on(View::Findings, ""), wheel(ScrollUp, list, 1)).has("The answer"));
    assert!(play("?", wheel(ScrollDown, middle, 3)).has("Help 4-"));
    assert!(play("?", vec![click(middle)]).has("GIL by core"));
    let blamed = |cues| play_on(frame(fixtures::blamed(fixtures::typical()), Play::Live), LIVE, cues);
    let left: Vec<Cue> = typed(&on(View::Blame, "")).into_iter().chain(wheel(ScrollLeft, middle, 1)).collect();
    assert!(blamed(left).has("http-2, GIL free"));
}

#[test]
fn the_chosen_cell_is_one_reversed_cell() {
    let matrix = blamed("j");
    let (_, y) = find(&matrix, "c http-1      ");
    let reversed: Vec<(u16, u16)> = matrix.reversed.clone();
    assert!(!reversed.is_empty() && reversed.iter().all(|(x, _)| *x > 0), "{reversed:?}");
    let text: String = reversed
        .iter()
        .filter(|(_, line)| *line == y)
        .map(|(x, _)| &matrix.screen[usize::from(y)][usize::from(*x)..=usize::from(*x)])
        .collect();
    assert_eq!(text.trim(), "#  25.4 %");
    assert_eq!(matrix.outcome.unwrap(), Leaving::Quit);
}

fn lanes(keys: &str, cues: Vec<Cue>) -> Played {
    let cues = typed(&on(View::Timeline, keys)).into_iter().chain(cues).collect();
    play_on(frame(fixtures::lanes(), Play::Live), LIVE, cues)
}

#[test]
fn the_timeline_stands_still_under_a_cursor_and_goes_on() {
    let first = lanes("", vec![]);
    assert!(first.has("10.0 ms a column") && first.has("goes with time") && first.has("a cursor with exact values"));
    assert_eq!(first.asked, []);
    // The end of what is shown, and what has to be known so that all of it is settled.
    let cursor = lanes("h", vec![]);
    assert!(cursor.has("stands still") && cursor.has("At 1.98") && cursor.has("GIL: "), "{:#?}", cursor.screen);
    assert!(matches!(cursor.asked[..], [Command::SeekTo(_)]), "{:?}", cursor.asked);
    assert!(lanes("h\u{1b}", vec![]).has("a cursor with exact values"));
    assert!(lanes("h\u{1b}\u{1b}", vec![]).has("goes with time"));
    assert!(lanes("+++", vec![]).has("1.00 ms a column") && lanes("-", vec![]).has("20.0 ms a column"));
    let all_the_way = lanes(&"+".repeat(40), vec![]);
    assert!(all_the_way.has("1.00 us a column") && lanes(&"-".repeat(40), vec![]).has("1.00 s a column"));
    let paused = frame(fixtures::lanes(), Play::Paused);
    let again = play_on(paused, LIVE, typed(&on(View::Timeline, "h ")));
    assert!(again.has("goes with time"));
    // What it shows of a lane is of the one that is chosen.
    assert!(lanes("hj", vec![]).has("io-echo:") && lanes("hjj", vec![]).has(" c io-"));
}

#[test]
fn a_span_has_figures_by_keys_and_by_mouse() {
    let keys = lanes("hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh\nllllllllll", vec![]);
    assert!(keys.has("Span ") && keys.has(", 100 ms, ") && keys.has(" handoffs:"), "{:#?}", keys.screen);
    assert!(keys.has("longest") && keys.has("waits"));
    let from_near = lanes("hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh\nllllllllllz", vec![]);
    assert!(from_near.has("2.00 ms a column"), "{:#?}", from_near.screen);
    assert!(!lanes("hhhhh\nhhhh\n", vec![]).has("Span "));
    let plain = lanes("", vec![]);
    let (_, y) = find(&plain, " b io-echo");
    let drag = |from: u16, to: u16| {
        let moved = (from + 1..=to).map(|x| mouse(MouseEventKind::Drag(MouseButton::Left), (x, y)));
        [click((from, y))].into_iter().chain(moved).collect()
    };
    let dragged = lanes("", drag(40, 60));
    assert!(dragged.has(", 200 ms, ") && dragged.has("io-echo:"), "{:#?}", dragged.screen);
    let pointed = lanes("", vec![click((40, y))]);
    assert!(pointed.has("io-echo:") && !pointed.has("Span "));
    assert!(lanes("", wheel(MouseEventKind::ScrollLeft, (40, y), 1)).has("stands still"));
}

/// Whatever is pressed in whatever view, with much to show or nothing, it goes on until it is left.
#[test]
fn every_key_in_every_view_leads_somewhere() {
    use gilscope::dashboard::action::BINDINGS;
    use gilscope::dashboard::console::Heard;
    use gilscope::dashboard::keys::Control;
    use ratatui::crossterm::event::{KeyEvent, KeyModifiers};
    let presses: Vec<KeyEvent> = BINDINGS
        .iter()
        .flat_map(|binding| binding.keys)
        .filter(|press| !matches!(press.to_string().as_str(), "q" | "Q" | "^C"))
        .map(|press| {
            let held = if press.control == Control::Held { KeyModifiers::CONTROL } else { KeyModifiers::NONE };
            KeyEvent::new(press.code, held)
        })
        .collect();
    assert!(presses.len() > 60);
    let scenes = [
        || fixtures::in_convoys(fixtures::blamed(fixtures::signals_to_a_busy_main())),
        fixtures::lanes,
        || fixtures::convoys_beyond_reason(fixtures::blamed_beyond_reason(fixtures::hostile_names())),
        fixtures::no_data,
    ];
    for (scene, view) in scenes.into_iter().flat_map(|scene| View::ALL.map(|view| (scene, view))) {
        let first = view.keys().first().unwrap().code;
        // Each key by itself in this view, and again after itself.
        let cues = presses.iter().flat_map(|press| {
            [key(first), Cue::Hear(Heard::Key(*press)), Cue::Hear(Heard::Key(*press)), key(KeyCode::Esc)]
        });
        let played = play_on(frame(scene(), Play::Live), LIVE, cues.collect());
        assert_eq!(played.outcome.unwrap(), Leaving::Quit, "{view:?}");
    }
}

/// Keys that come faster than the screen is drawn are each worth a row.
#[test]
fn keys_before_the_next_drawing_count_one_by_one() {
    use ratatui::crossterm::event::{KeyEvent, KeyModifiers};
    let frame = frame(fixtures::in_convoys(fixtures::blamed(fixtures::signals_to_a_busy_main())), Play::Live);
    let press = |state: &mut State, keys: &[KeyCode]| {
        let rows = ViewModel::of(&frame, state, LIVE).rows();
        for code in keys {
            let _nothing = state.press(&KeyEvent::new(*code, KeyModifiers::NONE), &rows, &frame, LIVE);
        }
    };
    for view in View::ALL {
        let mut at_once = State { view, ..State::default() };
        let mut one_by_one = at_once.clone();
        let keys = [KeyCode::Home, KeyCode::Char('j'), KeyCode::Char('j'), KeyCode::Char('k')];
        press(&mut at_once, &keys);
        keys.iter().for_each(|key| press(&mut one_by_one, &[*key]));
        assert_eq!(at_once.finding, one_by_one.finding);
        assert_eq!(at_once.blame, one_by_one.blame);
        assert_eq!((at_once.convoy, at_once.signal), (one_by_one.convoy, one_by_one.signal));
        assert_eq!(at_once.timeline, one_by_one.timeline);
        assert_eq!((at_once.histograms, at_once.selected), (one_by_one.histograms, one_by_one.selected));
        assert_ne!(at_once, State { view, ..State::default() }, "{view:?} has no rows");
    }
}

/// Every head of the thread table that is on the screen sorts by its column, and by it the other way round.
#[test]
fn a_click_on_any_head_sorts_by_it() {
    use gilscope::dashboard::columns::Cell as Column;
    let play = |cues| play_on(frame(fixtures::typical(), Play::Live), LIVE, cues);
    let plain = play(vec![]);
    let (_, y) = find(&plain, "S thread");
    let mut clicked = 0;
    for column in Column::ALL.into_iter().filter(|column| !column.title().is_empty()) {
        let head = &plain.screen[usize::from(y)];
        let Some(x) = head.find(&format!(" {} ", column.title())).filter(|_| column != Column::Word) else { continue };
        let at = (x as u16 + 1, y);
        let by = |order: &str| format!("by {} {order}", column.sorts_by().title());
        let (once, twice) = (play(vec![click(at)]), play(vec![click(at), click(at)]));
        let either = |played: &Played| played.has(&by("v")) || played.has(&by("^"));
        assert!(either(&once) && either(&twice), "{column:?}: {:#?}", once.screen);
        assert_ne!(once.has(&by("v")), twice.has(&by("v")), "{column:?} is not turned round");
        clicked += 1;
    }
    assert!(clicked >= 9, "{clicked} heads are on the screen");
}

/// What is beside a name stays in its column, however wide the name's characters are.
#[test]
fn wide_and_combining_names_push_nothing_aside() {
    let names = ["plain", "日本語のスレッド", "👩‍👩‍👧 family", "e\u{301}tude\u{302}", "ｆｕｌｌ", "한국어 작업자", "🇩🇪 🚀"];
    let mut snapshot = fixtures::many_threads(names.len(), 2);
    for (thread, name) in snapshot.processes[0].threads.iter_mut().zip(names) {
        thread.name = name.to_owned();
        thread.cpu = Some(gilscope::event::Cpu(3));
    }
    let frame = frame(snapshot, Play::Live);
    for symbols in [Symbols::Unicode, Symbols::Ascii] {
        let theme = Theme { depth: Depth::Mono, symbols };
        for width in [60, 80, 100, 140, 200] {
            let view = ViewModel::of(&frame, &State::default(), LIVE);
            let mut buffer = Buffer::empty(Rect::new(0, 0, width, 12));
            threads::draw(&view, theme, buffer.area, &mut buffer);
            let line = |y: u16| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<Vec<_>>();
            let head = line(1);
            // The last letter of `core` stands over the core's last digit, in every row.
            let core = head.windows(4).position(|letters| letters.concat() == "core").unwrap() + 3;
            for y in 2..2 + names.len() as u16 {
                assert_eq!(line(y)[core], "3", "{width}: {}", line(y).concat());
            }
        }
    }
}

/// The cores: what is done there can be told without colour, column by column, and lines are folded, chosen and left.
#[test]
fn cores_are_folded_chosen_and_left() {
    let with = |keys: &str, cores| {
        let snapshot = fixtures::on_cores(fixtures::typical(), cores);
        play_on(frame(snapshot, Play::Live), LIVE, typed(&on(View::Cores, keys)))
    };
    let two = with("", 2);
    assert!(two.has("of 2 cores busy") && two.has("core 0") && two.has("core 1") && two.has("others"));
    let lane = two.screen.iter().find(|line| line.contains("core 0")).unwrap();
    let cells: Vec<char> = lane.split('|').nth(1).unwrap().chars().collect();
    for pair in cells.windows(2).filter(|pair| pair[0].is_ascii_lowercase() && pair[0] != 'q') {
        assert!(matches!(pair[1], '#' | 'Z' | '-' | 'q'), "after the letter {} stands {} in {lane}", pair[0], pair[1]);
    }
    let many = with("", 64);
    assert!(many.has("of 32 cores busy") && many.has(" 1-4 ") && !many.has("core 2 "), "{:#?}", many.screen);
    assert!(with("\n", 64).has("core 2 ") && with("\nG", 64).has("core 63x"));
    let last = with("G", 64);
    assert!(last.has("32-63x") && !last.has("core 40"), "{:#?}", last.screen);
    assert!(last.has("Cores 32-63 the program may not use it") && last.selected.len() == 1);
    assert!(with("G\u{1b}", 64).selected.is_empty() && with("G\u{1b}\u{1b}", 64).has("Waits of all threads"));
    assert!(with("+", 2).has("50.0 ms a column") && with("-", 2).has("200 ms a column"));
}
