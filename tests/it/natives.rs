//! Long holds, and what was seen in them: events in, figures and words out.

use gilscope::event::*;
use gilscope::findings::Allowed;
use gilscope::model::Model;
use gilscope::model::snapshot::{LongHold, Release, Snapshot};
use gilscope::report::{Color, TextOptions, json, text};
use gilscope::time::{MonoNs, Ns};

use crate::sampling::Sampling;
use crate::simulator::{Script, Step, World};

const GIL: GilKey = GilKey(0);

fn place(module: &str, symbol: Option<&str>, offset: u64) -> CodePlace {
    CodePlace { module: module.to_owned(), symbol: symbol.map(str::to_owned), offset }
}

fn info(kind: NativeKind, place: CodePlace, through: Option<CodePlace>) -> Box<NativeInfo> {
    Box::new(NativeInfo { kind, place, through })
}

/// Twenty seconds of a thread that holds for 400 ms in C and sleeps for 100 ms, beside one that wants the GIL all the time.
fn watched() -> Vec<Event> {
    let scripts = [
        Script::new(&[Step::HoldInC(Ns::from_millis(400)), Step::Sleep(Ns::from_millis(100))]),
        Script::new(&[Step::Bytecode(Ns::SECOND)]),
    ];
    Sampling::at(Ns::MILLISECOND, 5).look(&World::play(3, Ns::from_millis(20_000), &scripts))
}

/// Its long holds, by the samples in it.
fn runs(events: &[Event]) -> Vec<(ThreadKey, MonoNs, MonoNs)> {
    let mut runs: Vec<(ThreadKey, u64, MonoNs, MonoNs)> = Vec::new();
    for event in events {
        let What::GilSample(GilSample { hold: Hold::By { thread, .. }, switch_number, .. }) = event.what else {
            continue;
        };
        match runs.last_mut().filter(|(of, number, ..)| (*of, *number) == (thread, switch_number)) {
            Some(run) => run.3 = event.at,
            None => runs.push((thread, switch_number, event.at, event.at)),
        }
    }
    let long = runs.into_iter().filter(|(.., from, until)| until.since(*from) >= Ns::from_millis(100));
    long.map(|(thread, _, from, until)| (thread, from, until)).collect()
}

fn sampled(at: MonoNs, thread: ThreadKey, native: u32, instant: MonoNs, how: SeenHolder) -> Event {
    Event { at, what: What::NativeSampled { gil: GIL, thread, native: NativeKey(native), instant, how } }
}

/// As they would have come, some time after their instants.
fn with(mut events: Vec<Event>, more: Vec<Event>) -> Vec<Event> {
    events.extend(more);
    events.sort_by_key(|event| event.at);
    events
}

fn fold(events: &[Event]) -> Snapshot {
    let mut model = Model::new();
    events.iter().for_each(|event| model.apply(event));
    model.snapshot()
}

fn long_holds(snapshot: &Snapshot) -> Vec<LongHold> {
    snapshot.processes[0].interpreters[0].gil.as_deref().unwrap().long_holds.clone()
}

fn definitions() -> Vec<Event> {
    let found = |native, info| Event { at: MonoNs(0), what: What::NativeFound { native: NativeKey(native), info } };
    let ext = "countext.cpython-311.so";
    vec![
        found(1, info(NativeKind::Extension, place(ext, Some("count_cext"), 0x1100), None)),
        found(
            2,
            info(NativeKind::Extension, place(ext, Some("count_cext"), 0x1100), Some(place("libc.so.6", None, 9))),
        ),
        found(3, info(NativeKind::CLibrary, place("libc.so.6", Some("clock_nanosleep"), 0xd000), None)),
        found(4, info(NativeKind::Interpreter, place("libpython3.11.so", Some("long_mul"), 0x70), None)),
    ]
}

#[test]
fn a_hold_is_divided_by_what_was_seen_in_it() {
    let events = watched();
    let mut runs = runs(&events);
    runs.retain(|(thread, ..)| *thread == ThreadKey(0));
    assert!(runs.len() > 30, "{}", runs.len());
    let start = events[0].at;
    let total: u64 = runs.iter().map(|(_, from, until)| until.since(*from).0).sum();
    let mut more = definitions();
    more.iter_mut().for_each(|event| event.at = start);
    for (thread, from, until) in &runs {
        let length = until.since(*from).0;
        // A fourth of it asleep, told long after it was over.
        for (part, native) in [(2, 1), (4, 1), (6, 2), (8, 3)] {
            let how = if native == 3 { SeenHolder::Asleep } else { SeenHolder::OnCore };
            more.push(sampled(*until + Ns(700_000_000), *thread, native, *from + Ns(length * part / 10), how));
        }
    }
    let snapshot = fold(&with(events, more));
    let holds = long_holds(&snapshot);
    let named: Vec<&LongHold> = holds.iter().filter(|hold| hold.native.is_some()).collect();
    let longest = runs.iter().map(|(_, from, until)| until.since(*from)).max().unwrap();
    let [count, sleep] = &named[..] else { panic!("{holds:?}") };
    let is_of = |hold: &LongHold, share: f64| (hold.held.0 as f64 / total as f64 - share).abs() < 0.03;
    assert!(is_of(count, 0.75) && is_of(sleep, 0.25), "{holds:?}, of {total}");
    assert_eq!(count.native.as_ref().unwrap().place.symbol.as_deref(), Some("count_cext"));
    assert_eq!((count.asleep, sleep.asleep), (0, sleep.samples));
    // Most of the samples of the last holds came after the end, and are missing.
    assert!(count.samples >= 3 * (runs.len() as u64 - 3), "{count:?}");
    assert_eq!((count.release, sleep.release), (Release::Never, Release::Never), "another wanted it all the time");
    assert_eq!((count.holds, sleep.holds), (runs.len() as u64, runs.len() as u64), "two ways into one place are one");
    assert!(count.longest >= longest && count.longest <= longest + Ns::from_millis(3), "{count:?}, {longest}");
    assert_eq!(count.native.as_ref().unwrap().through, None, "the way that was seen most often");

    let shown = text(&snapshot, &TextOptions { width: 100, color: Color::Never, allowed: Allowed::NONE });
    assert!(shown.contains("in countext.cpython-311.so:count_cext"), "{shown}");
    assert!(shown.contains("in libc.so.6:clock_nanosleep   called from ?"), "{shown}");
    let document = json(&snapshot, Allowed::NONE).unwrap();
    let listed = &document["processes"][0]["interpreters"][0]["gil"]["long_holds"];
    assert_eq!(listed[0]["native"]["name"], "countext.cpython-311.so:count_cext");
    assert_eq!((&listed[0]["released"], &listed[0]["samples"]), (&false.into(), &count.samples.into()));
}

#[test]
fn a_hold_that_goes_on_is_there_and_what_is_not_of_a_hold_is_left_out() {
    let events = watched();
    let runs = runs(&events);
    let (thread, from, until) = runs[5];
    let middle = from + Ns(until.since(from).0 / 2);
    let cut: Vec<Event> = events.iter().filter(|event| event.at <= middle).cloned().collect();
    let mut more = definitions();
    more.iter_mut().for_each(|event| event.at = cut[0].at);
    let within = from + Ns(100_000_000);
    more.push(sampled(middle, thread, 4, within, SeenHolder::OnCore));
    // Of another thread, of no hold, of no code that was told of.
    let other = if thread == ThreadKey(0) { ThreadKey(1) } else { ThreadKey(0) };
    more.push(sampled(middle, other, 1, within, SeenHolder::OnCore));
    more.push(sampled(middle, thread, 1, MonoNs(from.0 - 20_000_000), SeenHolder::OnCore));
    more.push(sampled(middle, thread, 77, within, SeenHolder::OnCore));
    let snapshot = fold(&with(cut, more));
    let holds = long_holds(&snapshot);
    let named: Vec<&LongHold> = holds.iter().filter(|hold| hold.native.is_some()).collect();
    let [hold] = &named[..] else { panic!("{holds:?}") };
    assert_eq!((hold.thread, hold.samples, hold.ongoing), (thread, 1, Some(hold.longest)));
    assert_eq!(hold.native.as_ref().unwrap().kind, NativeKind::Interpreter);
    let shown = text(&snapshot, &TextOptions { width: 120, color: Color::Never, allowed: Allowed::NONE });
    assert!(shown.contains("long_mul") && shown.contains("the interpreter itself"), "{shown}");
    assert!(shown.contains("never released so far"), "{shown}");
}

/// Holds, code and threads without end.
#[test]
fn what_is_kept_is_bounded_and_what_is_shown_is_safe() {
    let events = watched();
    let start = events[0].at;
    let (thread, from, _) = runs(&events)[5];
    let mut more = Vec::new();
    for native in 0..20_000u32 {
        let evil = place("\u{1b}[31mevil\u{202e}.so", Some(&format!("\u{7}f{native}")), native.into());
        let info = info(NativeKind::Extension, evil, None);
        more.push(Event { at: start, what: What::NativeFound { native: NativeKey(native), info } });
        let instant = from + Ns(1_000_000);
        more.push(sampled(from + Ns(300_000_000), thread, native, instant, SeenHolder::OnCore));
    }
    let long = info(NativeKind::Extension, place(&"x".repeat(5_000), None, 0), None);
    more.push(Event { at: start, what: What::NativeFound { native: NativeKey(1_000_000), info: long } });
    more.push(sampled(from + Ns(300_000_000), thread, 1_000_000, from + Ns(1_000_000), SeenHolder::OnCore));
    let snapshot = fold(&with(events, more));
    let holds = long_holds(&snapshot);
    assert!(holds.len() <= 64, "{}", holds.len());
    assert!(holds.iter().flat_map(|hold| &hold.native).all(|native| native.place.module.len() <= MAX_SYMBOL));
    let shown = text(&snapshot, &TextOptions { width: 80, color: Color::Never, allowed: Allowed::NONE });
    assert!(shown.contains("evil") && !shown.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{shown}");
}
