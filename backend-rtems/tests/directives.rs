//! The conformance suite of the directives, on their test double. The same suite runs inside images, on
//! RTEMS's own directives and on those of the executive.

use capuchin_rtems::directives::{Lab, run};

#[test]
fn double_does_what_the_guide_says() {
    let mut lab = Lab {
        bounded: true,
        priorities: false,
        interrupt: None,
    };
    let (mut count, mut failures) = (0, Vec::new());
    run(&mut lab, &mut |name, outcome| {
        count += 1;
        failures.extend(outcome.err().map(|why| format!("{name}: {why}")));
    });
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(count > 20, "{count} cases");
}
