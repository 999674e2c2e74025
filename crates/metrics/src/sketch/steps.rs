//! A distribution in steps, as it is drawn: how many values there are up to which.

use super::{GAMMA, Sketch, multiplier, upper};

/// Where a value was rounded to a thousandth, it may be in another bin by so much of one: enough from 0.5 on.
const ROUNDED: f64 = 0.05;

impl Sketch {
    /// How many values there are up to which value, in at most so many steps that are equally wide on a logarithmic scale; steps without values
    /// are left out. Values of 0 and less are the first step, up to 0.
    pub fn steps(&self, most: usize) -> Vec<(f64, u64)> {
        let bins = || self.positive.counts().zip(self.positive.first()..).filter(|(count, _)| *count > 0);
        let (first, last) = (bins().next(), bins().last());
        let (Some((_, first)), Some((_, last))) = (first, last) else {
            return self.up_to_zero().into_iter().collect();
        };
        let most = i64::try_from(most.max(2) - 1).unwrap_or(i64::MAX);
        let width = (last - first) / most + 1;
        let mut steps: Vec<(f64, u64)> = Vec::new();
        let mut of = None;
        for (count, key) in bins() {
            let step = (key - first) / width;
            if let (Some((_, sum)), true) = (steps.last_mut(), of == Some(step)) {
                *sum += count;
            } else {
                let end = (first + (step + 1) * width - 1).min(last);
                steps.push((upper(end).min(self.max), count));
            }
            of = Some(step);
        }
        self.up_to_zero().into_iter().chain(steps).collect()
    }

    fn up_to_zero(&self) -> Option<(f64, u64)> {
        let count = self.negative.count() + self.zeros;
        (count > 0).then_some((0.0, count))
    }
}

/// What [`Sketch::steps`] gave of at most so many, with the steps that have no values between the others.
pub(crate) fn with_empty_steps(steps: &[(f64, u64)], most: usize) -> Vec<(f64, u64)> {
    let bins = |from: f64, to: f64| (to / from).log2() * multiplier();
    let above: Vec<f64> = steps.iter().map(|(up_to, _)| *up_to).filter(|up_to| *up_to > 0.0).collect();
    let (Some(first), Some(last)) = (above.first(), above.last()) else { return steps.to_vec() };
    // the last step ends with the largest value, any other where it would if it were full; both are rounded where they were told
    #[allow(clippy::cast_precision_loss, reason = "it is small")]
    let full = ((bins(*first, *last) - ROUNDED).ceil() / most.saturating_sub(2).max(1) as f64).floor() + 1.0;
    let inner = above.windows(2).rev().skip(1).map(|pair| bins(pair[0], pair[1]).round());
    let width = inner.fold(full, f64::min).max(1.0);
    let mut filled: Vec<(f64, u64)> = Vec::new();
    for step in steps {
        if let Some((before, _)) = filled.last().copied()
            && before > 0.0
        {
            let slack = GAMMA.powf(if step.0 < *last { width / 2.0 } else { ROUNDED });
            let mut between = before * GAMMA.powf(width);
            // what is no report of ours may ask for any number
            while between * slack < step.0 && filled.len() < 2 * most {
                filled.push((between, 0));
                between *= GAMMA.powf(width);
            }
        }
        filled.push(*step);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::super::tests::sketch;
    use super::*;

    #[test]
    fn the_steps_of_a_distribution_count_every_value_once() {
        assert_eq!(Sketch::default().steps(10), []);
        assert_eq!(sketch(&[0.0, -3.0]).steps(10), [(0.0, 2)]);
        let values: Vec<f64> = (0..1000).map(f64::from).collect();
        for most in [2, 10, 120] {
            let steps = sketch(&values).steps(most);
            assert!(steps.len() <= most, "{}", steps.len());
            assert_eq!(steps.iter().map(|(_, count)| count).sum::<u64>(), 1000);
            assert!(steps.is_sorted_by(|a, b| a.0 < b.0), "{steps:?}");
            assert_eq!(steps.last().map(|(up_to, _)| *up_to), Some(999.0));
        }
    }

    #[test]
    fn with_its_empty_steps_a_distribution_has_one_step_after_the_other() {
        let many: Vec<f64> = (1..1000).map(f64::from).collect();
        let thousandths = |(up_to, count): (f64, u64)| ((up_to * 1000.0).round() / 1000.0, count);
        for (values, all) in [
            (&[][..], 0),
            (&[0.0, -3.0], 1),
            (&[7.0, 7.0], 1),
            (&[2.0, 2000.0], 87),
            (&[0.0, 2.0, 2.1, 600.0, 2000.0], 88),
            (&[1.0, 1.5, 3.0], 56),
            (&many, 87),
        ] {
            let steps: Vec<_> = sketch(values).steps(100).into_iter().map(thousandths).collect();
            let filled = with_empty_steps(&steps, 100);
            assert_eq!(filled.iter().copied().filter(|(_, count)| *count > 0).collect::<Vec<_>>(), steps);
            let above: Vec<_> = filled.iter().map(|(up_to, _)| *up_to).filter(|up_to| *up_to > 0.0).collect();
            let ratios: Vec<_> = above.windows(2).rev().skip(1).map(|pair| pair[1] / pair[0]).collect();
            assert!(ratios.iter().all(|ratio| (ratio / ratios[0] - 1.0).abs() < 0.002), "{ratios:?}");
            assert!(
                above
                    .windows(2)
                    .last()
                    .is_none_or(|pair| pair[1] / pair[0] <= ratios.first().unwrap_or(&9.0) * 1.001)
            );
            assert_eq!(filled.len(), all, "{filled:?}");
        }
        // a file may say anything
        let strange = [(1e-300, 1), (1e300, 1), (5.0, 1), (-1.0, 1), (f64::MAX, 1)];
        assert!(with_empty_steps(&strange, 100).len() < 210);
    }
}
