//! The results as the table of `docs/reliability.md`.

use std::time::Duration;

use e2e::Account;

/// What came of one fault, had several times.
pub struct Row {
    fault: String,
    how: String,
    times: u32,
    account: Account,
    seconds: Vec<Duration>,
}

impl Row {
    /// A row without results yet.
    pub fn new(fault: &str, how: &str) -> Self {
        Self {
            fault: fault.to_owned(),
            how: how.to_owned(),
            times: 0,
            account: Account::default(),
            seconds: Vec::new(),
        }
    }

    /// The fault was had once, and this long after its end the status was true again.
    pub fn had(&mut self, until_true: Duration) {
        println!("    {}: {:.1} s to a true status", self.fault, until_true.as_secs_f64());
        self.times += 1;
        self.seconds.push(until_true);
    }

    /// A load test under the fault is over, with that account.
    pub fn add(&mut self, account: Account) {
        println!("    {}: {account:?}", self.fault);
        self.account.started_twice += account.started_twice;
        self.account.lost += account.lost;
    }

    /// Whether nothing was started twice and nothing was lost.
    pub fn is_good(&self) -> bool {
        self.account == Account::default() && self.times > 0
    }
}

/// The table in Markdown; a case without a row is one that failed.
pub fn table(rows: &[(&str, Option<Row>)]) -> String {
    let mut table =
        "| fault | how | how often | started twice | lost | seconds to a true status: median, worst |\n\
        |---|---|---|---|---|---|\n"
            .to_owned();
    for (case, row) in rows {
        let line = match row {
            Some(Row { fault, how, times, account, seconds }) => {
                let Account { started_twice, lost } = account;
                let (median, worst) = median_and_worst(seconds);
                format!(
                    "| {fault} | {how} | {times} | {started_twice} | {lost} | {median:.1}, {worst:.1} |\n"
                )
            }
            None => format!("| {case} | FAILED, see above | | | | |\n"),
        };
        table.push_str(&line);
    }
    table
}

fn median_and_worst(times: &[Duration]) -> (f64, f64) {
    let mut seconds: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
    seconds.sort_by(f64::total_cmp);
    let Some(worst) = seconds.last().copied() else {
        return (f64::NAN, f64::NAN);
    };
    let (low, high) = (seconds[(seconds.len() - 1) / 2], seconds[seconds.len() / 2]);
    (f64::midpoint(low, high), worst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_few() {
        let of = |seconds: &[u64]| {
            median_and_worst(&seconds.iter().map(|s| Duration::from_secs(*s)).collect::<Vec<_>>())
        };
        assert_eq!((of(&[3]), of(&[9, 1, 2]), of(&[4, 1, 2, 9])), ((3.0, 3.0), (2.0, 9.0), (3.0, 9.0)));
    }
}
