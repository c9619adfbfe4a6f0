//! Native code in recordings: what it is stays known from every keyframe, and only so much of it.

use gilscope::event::*;
use gilscope::recording::{Class, Encoder, Reader, Start};
use gilscope::time::MonoNs;
use proptest::prelude::*;

use crate::recording::roundtrip::{gil, name, number, thread};
use crate::recording::tools::{file_of, resumed};

fn place() -> impl Strategy<Value = CodePlace> {
    (name(), proptest::option::of(name()), number()).prop_map(|(module, symbol, offset)| CodePlace {
        module,
        symbol,
        offset,
    })
}

fn info() -> impl Strategy<Value = Box<NativeInfo>> {
    let kind = prop_oneof![
        Just(NativeKind::Interpreter),
        Just(NativeKind::Extension),
        Just(NativeKind::Library),
        Just(NativeKind::CLibrary),
        Just(NativeKind::Anonymous)
    ];
    (kind, place(), proptest::option::of(place()))
        .prop_map(|(kind, place, through)| Box::new(NativeInfo { kind, place, through }))
}

fn native() -> impl Strategy<Value = NativeKey> {
    prop_oneof![0u32..6, any::<u32>()].prop_map(NativeKey)
}

/// Every kind of event about native code, with every value.
pub fn what() -> BoxedStrategy<What> {
    let how = prop_oneof![Just(SeenHolder::OnCore), Just(SeenHolder::Asleep)];
    prop_oneof![
        (native(), info()).prop_map(|(native, info)| What::NativeFound { native, info }),
        (gil(), thread(), native(), number(), how).prop_map(|(gil, thread, native, instant, how)| {
            What::NativeSampled { gil, thread, native, instant: MonoNs(instant), how }
        }),
    ]
    .boxed()
}

#[test]
fn a_keyframe_restates_the_code_and_not_when_it_was_seen() {
    let found = |native: u32| {
        let place = CodePlace { module: "a.so".to_owned(), symbol: None, offset: native.into() };
        let info = NativeInfo { kind: NativeKind::Library, place, through: None };
        What::NativeFound { native: NativeKey(native), info: Box::new(info) }
    };
    let seen = What::NativeSampled {
        gil: GilKey(0),
        thread: ThreadKey(0),
        native: NativeKey(1),
        instant: MonoNs(5),
        how: SeenHolder::Asleep,
    };
    let restated = |whats: &[What]| {
        let mut encoder = Encoder::new().unwrap();
        let all = whats.iter().zip(1u64..).map(|(what, n)| Event { at: MonoNs(n * 1_000), what: what.clone() });
        all.for_each(|event| encoder.push(&event).unwrap());
        encoder.restate().unwrap();
        let mut reader = Reader::from_bytes(file_of(&encoder.take_chunks())).unwrap();
        let standing: Vec<What> =
            resumed(&mut reader, Start::Keyframe(0))[0].standing.iter().map(|event| event.what.clone()).collect();
        (standing, reader.count(Class::Definition))
    };
    assert_eq!(restated(&[found(1), seen.clone(), found(2)]), (vec![found(1), found(2)], 2));
    let many: Vec<What> = (0..10_000).map(found).collect();
    assert_eq!(restated(&many).0, many[..4_096]);
}
