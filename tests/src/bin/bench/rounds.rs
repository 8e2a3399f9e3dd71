//! Rounds in which those who are compared take turns, A B C A B C, so that a change of the machine's mood
//! meets all of them.

use crate::report::Report;

/// Has each do its round, so often. One that failed is told of and sits out the rounds that are left: what
/// it gave before stays.
pub fn in_turn<T>(
    report: &Report,
    rounds: usize,
    all: &mut [T],
    mut round: impl FnMut(&mut T) -> Result<(), String>,
) {
    let mut racing: Vec<&mut T> = all.iter_mut().collect();
    for _ in 0..rounds {
        racing.retain_mut(|one| {
            let result = round(one);
            result.map_err(|why| report.not_run(&why)).is_ok()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_failed_sits_out_and_keeps_what_it_gave() {
        let mut all = [("a", 0), ("b", 0)];
        let mut order = String::new();
        in_turn(&Report::default(), 3, &mut all, |(name, done)| {
            order += name;
            if *name == "b" && *done == 1 {
                return Err("b: tired".into());
            }
            *done += 1;
            Ok(())
        });
        assert_eq!(order, "ababa");
        assert_eq!(all, [("a", 3), ("b", 1)]);
    }
}
