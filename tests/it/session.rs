//! The session's engine in virtual time: live and replay, with feeds and clocks of the test's own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gilscope::event::{Event, What};
use gilscope::session::{
    Ability, Archive, Busy, CHECKPOINTS_KEPT, Checkpoints, Command, Engine, Events, Fed, Feed, Fold, Frame, Kept,
    Lately, Numbered, Origin, Play, Recorded, Session, Shift, Span, Watch,
};
use gilscope::time::{MonoNs, Ns};

use crate::sampling::Sampling;
use crate::simulator::{Script, Step, World};

/// Three threads that compute and one that answers messages, for so many seconds.
fn capture(seconds: u64) -> Vec<Event> {
    let ms = Ns::from_millis;
    let hog = Script::new(&[Step::Bytecode(ms(30)), Step::Native(ms(2))]);
    let echo = Script::new(&[Step::Sleep(ms(4)), Step::Bytecode(Ns::from_micros(50))]);
    let truth = World::play(7, ms(seconds * 1_000), &[hog.clone(), hog, echo]);
    Sampling::at(Ns::MILLISECOND, 7).look(&truth)
}

/// Everything a frame shows of the capture, in words.
fn said(frame: &Frame) -> String {
    format!("{:?} {:?} {:?}", frame.snapshot, frame.second, frame.ten)
}

/// The same, of a fold of all events up to `at` from the very beginning.
fn folded(events: &[Event], at: MonoNs) -> String {
    let mut fold = Fold::new();
    for (number, event) in events.iter().enumerate().take_while(|(_, event)| event.at <= at) {
        fold.apply(event, number as u64 + 1);
    }
    let snapshot = fold.snapshot();
    let [second, ten] = fold.recent([Ns::SECOND, gilscope::session::LONGEST_WINDOW]);
    format!("{snapshot:?} {second:?} {ten:?}")
}

/// A recording in memory.
struct InMemory(Arc<Vec<Event>>);

impl Archive for InMemory {
    fn span(&self) -> Option<Span> {
        Some(Span { from: self.0.first()?.at, to: self.0.last()?.at })
    }

    fn events_from(&mut self, position: u64) -> Events {
        let events = Arc::clone(&self.0);
        Box::new(
            (position as usize..events.len())
                .map(move |i| Numbered { event: events[i].clone(), position: i as u64 + 1 }),
        )
    }
}

/// Batches that a test hands over when it wants to.
#[derive(Clone, Default)]
struct Hand(Arc<Mutex<VecDeque<Fed>>>);

impl Hand {
    fn give(&self, events: &[Event]) {
        self.0.lock().unwrap().push_back(Fed::Events(events.to_vec()));
    }

    fn end(&self) {
        self.0.lock().unwrap().push_back(Fed::Over);
    }
}

impl Feed for Hand {
    fn next_within(&mut self, _limit: Duration) -> Fed {
        self.0.lock().unwrap().pop_front().unwrap_or(Fed::Nothing)
    }

    fn stop(&mut self) {
        self.end();
    }
}

/// An engine with a clock that the test moves.
struct Desk {
    engine: Engine,
    now: Duration,
    latest: Arc<Frame>,
}

impl Desk {
    fn new(mut engine: Engine) -> Desk {
        let latest = engine.frame();
        Desk { engine, now: Duration::ZERO, latest }
    }

    fn replay(events: &Arc<Vec<Event>>) -> Desk {
        Desk::new(Engine::replay(Box::new(InMemory(Arc::clone(events)))))
    }

    fn live(limit: usize) -> (Desk, Hand) {
        let hand = Hand::default();
        let kept = Kept::new(limit, Box::new(|| "unused.gscope".into())).unwrap();
        (Desk::new(Engine::live(Box::new(hand.clone()), Some(Box::new(kept)))), hand)
    }

    fn turn(&mut self, commands: &[Command]) -> Busy {
        let turn = self.engine.turn(self.now, &mut commands.iter().copied(), Duration::ZERO);
        self.latest = turn.frame.unwrap_or_else(|| Arc::clone(&self.latest));
        turn.busy
    }

    /// Gives commands, and goes on until all is done that they ask for.
    fn ask(&mut self, commands: &[Command]) -> Arc<Frame> {
        let mut busy = self.turn(commands);
        for _ in 0..10_000 {
            if busy != Busy::Busy {
                break;
            }
            busy = self.turn(&[]);
        }
        assert_ne!(busy, Busy::Busy, "never done");
        self.latest = self.engine.frame();
        assert_eq!(self.latest.status.seeking, None);
        Arc::clone(&self.latest)
    }

    fn wait(&mut self, length: Duration) -> Arc<Frame> {
        self.now += length;
        self.ask(&[])
    }
}

/// A frame that takes long to make is made less often, but for whoever asks.
#[test]
fn frames_that_are_dear_are_further_apart() {
    let events = capture(12);
    let frames_of = |took: Duration| {
        let (mut desk, hand) = Desk::live(1 << 20);
        let mut framed = Vec::new();
        for part in events.chunks(events.len() / 100) {
            hand.give(part);
            desk.now += Duration::from_millis(20);
            if let Some(frame) = desk.engine.turn(desk.now, &mut std::iter::empty(), Duration::ZERO).frame {
                framed.push((desk.now, frame.number));
                desk.engine.frame_took(took);
            }
        }
        let asked =
            desk.engine.turn(desk.now + Duration::from_millis(40), &mut [Command::Mark].into_iter(), Duration::ZERO);
        assert!(asked.frame.is_some());
        framed.len()
    };
    // In two seconds: the first, and one each 0.1 s, each 0.4 s, each second.
    assert_eq!([frames_of(Duration::ZERO), frames_of(Duration::from_millis(40))], [21, 6]);
    assert!((2..=3).contains(&frames_of(Duration::from_secs(9))));
}

#[test]
fn any_instant_of_a_replay_is_what_folding_up_to_it_gives() {
    let events = Arc::new(capture(12));
    let mut desk = Desk::replay(&events);
    let (first, last) = (events[0].at, events[events.len() - 1].at);
    let mut random = fastrand::Rng::with_seed(1);
    let mut instants: Vec<MonoNs> = (0..12).map(|_| MonoNs(random.u64(first.0..=last.0))).collect();
    instants.extend([first, last, events[events.len() / 2].at, events[events.len() / 2].at - Ns(1)]);
    for at in instants {
        let frame = desk.ask(&[Command::SeekTo(at)]);
        assert_eq!(frame.status.position, at);
        assert!(said(&frame) == folded(&events, at), "at {:?}", at.since(first));
    }
}

#[test]
fn a_replay_follows_the_clock_at_its_speed() {
    let events = Arc::new(capture(10));
    let start = events[0].at;
    let mut desk = Desk::replay(&events);
    assert_eq!(desk.engine.capabilities().origin, Origin::Recording);
    desk.ask(&[]);
    let after = |desk: &mut Desk, ms| desk.wait(Duration::from_millis(ms)).status.position.since(start);
    assert_eq!(after(&mut desk, 500), Ns::from_millis(500));
    desk.ask(&[Command::Speed(4.0)]);
    assert_eq!(after(&mut desk, 500), Ns::from_millis(2_500));
    desk.ask(&[Command::Speed(0.25)]);
    assert_eq!(after(&mut desk, 400), Ns::from_millis(2_600));
    desk.ask(&[Command::Pause]);
    assert_eq!(after(&mut desk, 5_000), Ns::from_millis(2_600));
    assert_eq!(desk.latest.status.play, Play::Paused);
    desk.ask(&[Command::Resume, Command::Speed(f64::NAN), Command::Speed(1e9)]);
    assert!((desk.latest.status.speed - 64.0).abs() < 1e-9);
    let end = after(&mut desk, 1_000);
    assert_eq!(end, events[events.len() - 1].at.since(start));
    assert_eq!(desk.latest.status.play, Play::Paused);
    assert!(said(&desk.latest) == folded(&events, MonoNs(u64::MAX)));
    // From its end, it plays again from its beginning.
    desk.ask(&[Command::Speed(1.0), Command::Resume]);
    assert_eq!(after(&mut desk, 300), Ns::from_millis(300));
}

#[test]
fn steps_go_from_look_to_look() {
    let events = Arc::new(capture(4));
    let mut looks: Vec<MonoNs> = events.iter().map(|event| event.at).collect();
    looks.dedup();
    let mut desk = Desk::replay(&events);
    let here = looks.len() / 2;
    desk.ask(&[Command::SeekTo(looks[here])]);
    assert_eq!(desk.ask(&[Command::Step(1)]).status.position, looks[here + 1]);
    assert_eq!(desk.ask(&[Command::Step(1)]).status.position, looks[here + 2]);
    assert_eq!(desk.ask(&[Command::Step(-1)]).status.position, looks[here + 1]);
    assert_eq!(desk.ask(&[Command::Step(-500)]).status.position, looks[here - 499]);
    assert!(said(&desk.latest) == folded(&events, looks[here - 499]));
    assert_eq!(desk.ask(&[Command::Step(-1_000_000)]).status.position, looks[0]);
    assert_eq!(desk.ask(&[Command::Step(-1)]).status.position, looks[0]);
    let moved = desk.ask(&[Command::Move(Shift::Ahead(Ns::from_millis(1_500)))]);
    assert_eq!(moved.status.position, looks[0] + Ns::from_millis(1_500));
    let last = looks[looks.len() - 1];
    assert_eq!(desk.ask(&[Command::Move(Shift::Ahead(Ns(u64::MAX)))]).status.position, last);
}

#[test]
fn pausing_freezes_the_view_and_not_the_capture() {
    let events = capture(9);
    let (mut desk, hand) = Desk::live(8 << 20);
    let third = events.len() / 3;
    hand.give(&events[..third]);
    desk.ask(&[]);
    let paused = desk.ask(&[Command::Pause]);
    let frozen = {
        hand.give(&events[third..2 * third]);
        desk.wait(Duration::from_secs(1))
    };
    assert_eq!((paused.status.play, frozen.status.play), (Play::Paused, Play::Paused));
    assert_eq!(frozen.status.position, events[third - 1].at);
    assert!(said(&frozen) == folded(&events[..third], MonoNs(u64::MAX)));
    // What came meanwhile is there: it can be looked at, also beyond the instant of the pause.
    assert_eq!(frozen.status.range.to, events[2 * third - 1].at);
    let beyond = events[third + third / 2].at;
    assert!(said(&desk.ask(&[Command::SeekTo(beyond)])) == folded(&events, beyond));
    let before = events[third / 2].at;
    assert!(said(&desk.ask(&[Command::SeekTo(before)])) == folded(&events, before));
    hand.give(&events[2 * third..]);
    let resumed = desk.ask(&[Command::Resume]);
    assert_eq!(resumed.status.play, Play::Live);
    assert!(said(&resumed) == folded(&events, MonoNs(u64::MAX)));
}

#[test]
fn a_session_without_a_past_cannot_be_sent_there() {
    let events = capture(3);
    let hand = Hand::default();
    let mut desk = Desk::new(Engine::live(Box::new(hand.clone()), None));
    assert_eq!(desk.engine.capabilities().past, Ability::Cannot);
    hand.give(&events);
    desk.ask(&[]);
    let all = folded(&events, MonoNs(u64::MAX));
    for command in [Command::SeekTo(events[0].at), Command::Step(-1), Command::RecordStart, Command::RecordStop] {
        assert!(said(&desk.ask(&[command])) == all, "{command:?}");
        assert_eq!(desk.latest.status.play, Play::Live);
    }
}

#[test]
fn the_end_of_the_target_is_the_last_thing_seen() {
    let events = capture(3);
    let (mut desk, hand) = Desk::live(8 << 20);
    hand.give(&events);
    hand.end();
    let ended = desk.ask(&[]);
    assert_eq!(ended.status.play, Play::Ended);
    assert!(said(&ended) == folded(&events, MonoNs(u64::MAX)));
    // Nothing more comes: there is nothing to wait for but the user.
    assert_eq!(desk.turn(&[]), Busy::Settled);
    let middle = events[events.len() / 2].at;
    assert!(said(&desk.ask(&[Command::SeekTo(middle)])) == folded(&events, middle));
    assert_eq!(desk.latest.status.play, Play::Paused);
    assert_eq!(desk.ask(&[Command::Resume]).status.play, Play::Ended);
    assert_eq!(desk.turn(&[Command::Stop]), Busy::Stopped);
}

#[test]
fn stopping_takes_what_the_instruments_still_have_to_say() {
    let events = capture(3);
    let (mut desk, hand) = Desk::live(8 << 20);
    hand.give(&events[..events.len() / 2]);
    desk.ask(&[]);
    hand.give(&events[events.len() / 2..]);
    let mut turns = 0;
    while desk.turn(if turns == 0 { &[Command::Stop] } else { &[] }) != Busy::Stopped {
        turns += 1;
        assert!(turns < 100);
    }
    assert!(said(&desk.engine.frame()) == folded(&events, MonoNs(u64::MAX)));
}

#[test]
fn marks_are_kept_in_order_and_in_bounded_number() {
    let events = Arc::new(capture(3));
    let (first, last) = (events[0].at, events[events.len() - 1].at);
    let mut desk = Desk::replay(&events);
    for at in [last, first, last] {
        desk.ask(&[Command::SeekTo(at), Command::Mark]);
    }
    let marks: Vec<MonoNs> = desk.latest.status.marks.iter().map(|mark| mark.at).collect();
    assert_eq!(marks, [first, last]);
    for i in 0..1_500 {
        desk.turn(&[Command::SeekTo(first + Ns::from_micros(i * 1_000)), Command::Mark]);
    }
    assert_eq!(desk.ask(&[]).status.marks.len(), 1_000);
}

#[test]
fn a_recording_begun_late_has_what_was_before_and_replays_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("late.gscope");
    let named = path.clone();
    let events = capture(6);
    let hand = Hand::default();
    let kept = Kept::new(8 << 20, Box::new(move || named.clone())).unwrap();
    let mut desk = Desk::new(Engine::live(Box::new(hand.clone()), Some(Box::new(kept))));
    let half = events.len() / 2;
    hand.give(&events[..half]);
    let begun = desk.ask(&[Command::RecordStart]);
    assert_eq!(begun.status.recording.as_ref().map(|r| r.path.clone()), Some(path.clone()));
    hand.give(&events[half..]);
    hand.end();
    // The target's end closes the recording.
    assert_eq!(desk.ask(&[]).status.recording, None);
    let mut replay = Desk::new(Engine::replay(Box::new(Recorded::open(&path).unwrap())));
    let end = replay.ask(&[Command::SeekTo(MonoNs(u64::MAX))]);
    assert_eq!(end.status.warnings, Vec::<String>::new());
    assert!(said(&end) == folded(&events, MonoNs(u64::MAX)));
    let at = events[events.len() / 3].at;
    assert!(said(&replay.ask(&[Command::SeekTo(at)])) == folded(&events, at));
}

#[test]
fn a_mark_set_live_is_in_the_recording_from_the_first_frame_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("marked.gscope");
    let named = path.clone();
    let events = capture(4);
    let hand = Hand::default();
    let kept = Kept::new(8 << 20, Box::new(move || named.clone())).unwrap();
    let mut desk = Desk::new(Engine::live(Box::new(hand.clone()), Some(Box::new(kept))));
    let half = events.len() / 2;
    hand.give(&events[..half]);
    desk.ask(&[Command::Mark]);
    desk.ask(&[Command::RecordStart, Command::Mark]);
    let past = events[half / 2].at;
    desk.ask(&[Command::SeekTo(past), Command::Mark, Command::Resume]);
    hand.give(&events[half..]);
    hand.end();
    let live: Vec<MonoNs> = desk.ask(&[]).status.marks.iter().map(|mark| mark.at).collect();
    assert_eq!(live, [past, events[half - 1].at]);
    let mut replay = Desk::new(Engine::replay(Box::new(Recorded::open(&path).unwrap())));
    let first = replay.ask(&[Command::Pause]);
    assert!(first.status.position < past);
    assert_eq!(first.status.marks.iter().map(|mark| mark.at).collect::<Vec<_>>(), live);
}

#[test]
fn a_recording_that_cannot_be_made_is_a_warning() {
    let events = capture(1);
    let hand = Hand::default();
    let kept = Kept::new(8 << 20, Box::new(|| "/nonexistent/there.gscope".into())).unwrap();
    let mut desk = Desk::new(Engine::live(Box::new(hand.clone()), Some(Box::new(kept))));
    hand.give(&events);
    let frame = desk.ask(&[Command::RecordStart]);
    assert_eq!(frame.status.recording, None);
    assert!(frame.status.warnings[0].contains("/nonexistent/there.gscope"), "{:?}", frame.status.warnings);
}

#[test]
fn a_small_ring_forgets_the_oldest_and_says_how_far_back_it_goes() {
    let events = capture(20);
    let (mut desk, hand) = Desk::live(60_000);
    for batch in events.chunks(500) {
        hand.give(batch);
        desk.turn(&[]);
    }
    let range = desk.ask(&[Command::Pause]).status.range;
    assert!(range.from > events[0].at, "nothing was forgotten: the ring is not small");
    assert!(range.to.since(range.from) > Ns::from_millis(2_000), "{:?}", range.to.since(range.from));
    let beginning = desk.ask(&[Command::SeekTo(MonoNs(0))]);
    assert_eq!(beginning.status.position, range.from);
    assert!(said(&beginning) == folded(&events, range.from));
}

#[test]
fn checkpoints_are_of_bounded_number_and_reach_back() {
    let events = capture(4);
    let mut fold = Fold::new();
    let mut kept = Checkpoints::default();
    let mut position = 0;
    // The same four seconds over and over, moved on: an hour.
    let length = events[events.len() - 1].at.since(events[0].at) + Ns::MILLISECOND;
    for round in 0..900u64 {
        for event in events.iter().filter(|event| matches!(event.what, What::GilSample(_)) || round == 0).step_by(20) {
            let at = event.at + Ns(length.0 * round);
            kept.offer(&fold, at);
            position += 1;
            fold.apply(&Event { at, what: event.what.clone() }, position);
        }
    }
    assert!(kept.len() <= CHECKPOINTS_KEPT, "{}", kept.len());
    assert!(kept.len() >= CHECKPOINTS_KEPT / 4, "{}", kept.len());
    let end = fold.at().unwrap();
    for back in [60, 600, 3_000] {
        let at = end - Ns(back * 1_000_000_000);
        let found = kept.before(at, None).and_then(Fold::at).unwrap();
        assert!(found <= at && at.since(found) < Ns(120_000_000_000), "{back}");
    }
}

#[test]
fn a_session_on_its_thread_answers_and_ends() {
    let events = Arc::new(capture(3));
    let session = Session::start(Engine::replay(Box::new(InMemory(Arc::clone(&events))))).unwrap();
    let end = events[events.len() - 1].at;
    session.send(Command::SeekTo(end));
    session.send(Command::Pause);
    let last = session.finish();
    assert_eq!(last.status.position, end);
}

#[test]
fn what_was_known_at_a_mark_is_handed_out_beside_what_is_shown() {
    let events = Arc::new(capture(6));
    let (first, last) = (events[0].at, events[events.len() - 1].at);
    let mark = first + Ns::from_millis(2_500);
    let mut fold = Fold::new();
    for (number, event) in events.iter().enumerate().take_while(|(_, event)| event.at <= mark) {
        fold.apply(event, number as u64 + 1);
    }
    let there = format!("{:?}", fold.snapshot());
    let is_there = |frame: &Frame| {
        frame.baseline.as_ref().is_some_and(|it| it.at == mark && format!("{:?}", it.snapshot) == there)
    };
    let mut replay = Desk::replay(&events);
    let frame = replay.ask(&[Command::SeekTo(last), Command::CompareWith(Some(mark))]);
    assert_eq!(frame.snapshot.at, last, "what is shown is where it was");
    assert!(is_there(&frame));
    // What came since, and what was before, are all.
    let before = &frame.baseline.as_ref().unwrap().snapshot.processes[0].threads;
    let after = &frame.snapshot.processes[0].threads;
    assert!(before.iter().any(|thread| thread.waits.count() > 0));
    for (before, now) in before.iter().zip(after) {
        let since = now.waits.since(&before.waits).expect("a later state of the same");
        assert_eq!((since.count() + before.waits.count(), since.total + before.waits.total), {
            (now.waits.count(), now.waits.total)
        });
        assert!(now.waits.count() == before.waits.count() || before.waits.since(&now.waits).is_none());
    }
    assert!(replay.ask(&[Command::CompareWith(None)]).baseline.is_none());
    let (mut live, hand) = Desk::live(64 << 20);
    hand.give(&events);
    live.ask(&[]);
    assert!(is_there(&live.ask(&[Command::CompareWith(Some(mark))])));
    // What is no longer kept is said to be so.
    let long = capture(20);
    let (mut forgetful, hand) = Desk::live(60_000);
    for part in long.chunks(500) {
        hand.give(part);
        forgetful.turn(&[]);
    }
    let frame = forgetful.ask(&[Command::CompareWith(Some(long[0].at + Ns(1)))]);
    assert!(frame.baseline.is_none());
    assert!(frame.status.warnings.iter().any(|warning| warning.contains("no longer kept")), "{:?}", frame.status);
}

#[test]
fn the_last_seconds_of_each_thread_are_told_one_by_one() {
    let events = Arc::new(capture(12));
    let mut desk = Desk::replay(&events);
    let end = desk.ask(&[Command::SeekTo(events[events.len() - 1].at)]);
    for thread in &end.snapshot.processes[0].threads {
        let seconds = end.lately.of(thread.key);
        assert_eq!(seconds.len(), Lately::SECONDS);
        for second in seconds {
            let total = second.expect("it was there").total();
            assert!((Ns::from_millis(700)..Ns::from_millis(1_300)).contains(&total), "{total}");
        }
    }
    let soon = desk.ask(&[Command::SeekTo(events[0].at + Ns::from_millis(3_300))]);
    let seconds = soon.lately.of(soon.snapshot.processes[0].threads[0].key);
    assert!(seconds[..4].iter().all(Option::is_none), "there was nothing before it began");
    assert!(seconds[7].is_some());
}
