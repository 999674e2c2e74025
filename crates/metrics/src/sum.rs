//! A sum of floating point numbers that does not depend on their order: merging must not change a report's last digit.

/// The exact sum of finite numbers, as non-overlapping parts of growing magnitude (Shewchuk, "Adaptive Precision
/// Floating-Point Arithmetic", 1997, the algorithm of Python's `math.fsum`). A few parts hold any sum.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    parts: Vec<f64>,
}

impl Sum {
    /// Adds a finite number.
    pub fn add(&mut self, number: f64) {
        let mut x = number;
        let mut kept = 0;
        for i in 0..self.parts.len() {
            let mut y = self.parts[i];
            if x.abs() < y.abs() {
                std::mem::swap(&mut x, &mut y);
            }
            let high = x + y;
            let low = y - (high - x);
            if low != 0.0 {
                self.parts[kept] = low;
                kept += 1;
            }
            x = high;
        }
        self.parts.truncate(kept);
        if x != 0.0 {
            self.parts.push(x);
        }
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        for part in &other.parts {
            self.add(*part);
        }
    }

    /// The parts; their sum is the sum.
    pub(crate) fn parts(&self) -> &[f64] {
        &self.parts
    }

    /// The sum, rounded once, to the nearest `f64`, ties to even.
    pub fn value(&self) -> f64 {
        let mut parts = self.parts.iter().rev().copied();
        let Some(mut high) = parts.next() else { return 0.0 };
        let mut low = 0.0;
        for part in parts.by_ref() {
            let x = high;
            high = x + part;
            low = part - (high - x);
            if low != 0.0 {
                break;
            }
        }
        // half-way cases are decided by what follows
        if let Some(next) = parts.next()
            && ((low < 0.0 && next < 0.0) || (low > 0.0 && next > 0.0))
        {
            let doubled = low * 2.0;
            let x = high + doubled;
            if doubled == x - high {
                high = x;
            }
        }
        high
    }
}

/// Sums are equal when they round to the same number.
impl PartialEq for Sum {
    fn eq(&self, other: &Self) -> bool {
        self.value() == other.value()
    }
}

impl FromIterator<f64> for Sum {
    fn from_iter<I: IntoIterator<Item = f64>>(numbers: I) -> Self {
        let mut sum = Self::default();
        for number in numbers {
            sum.add(number);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_floats_lose_is_kept() {
        let sum: Sum = [1e16, 1.0, -1e16, 0.1].into_iter().collect();
        assert_eq!(sum.value(), 1.1);
        let tenth: Sum = [0.1; 10].into_iter().collect();
        assert_eq!(tenth.value(), 1.0);
        assert_eq!(Sum::default().value(), 0.0);
    }

    fn any_number() -> impl Strategy<Value = f64> {
        (-1e15..1e15_f64, -30..30_i32).prop_map(|(x, e)| x * f64::from(e).exp2())
    }

    proptest! {
        #[test]
        fn the_order_and_the_grouping_do_not_matter(
            numbers in prop::collection::vec(any_number(), 0..60),
            cut in any::<prop::sample::Index>(),
        ) {
            let forwards: Sum = numbers.iter().copied().collect();
            let backwards: Sum = numbers.iter().rev().copied().collect();
            prop_assert_eq!(forwards.value().to_bits(), backwards.value().to_bits());
            let (left, right) = numbers.split_at(cut.index(numbers.len() + 1));
            let mut merged: Sum = right.iter().copied().collect();
            merged.merge(&left.iter().copied().collect());
            prop_assert_eq!(forwards.value().to_bits(), merged.value().to_bits());
        }
    }
}
