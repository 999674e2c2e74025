//! The phases of a script, one by one: what each asks for, or why that is not known, and what is wrong with it.

use metrics::delivery::{
    Arrivals, Distribution, MAX_PLANNED_PHASES, MAX_RAMP_SECONDS, PlanError, ShareError, Split, plan,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::config::{Known, Setting, Sources, has_template};
use super::document::{Node, Place};
use super::load::{is_passed_over, is_ramp, rate};
use super::problem::Problem;

/// The keys of a phase that Artillery reads; it passes over others.
const KEYS: [&str; 8] =
    ["name", "duration", "arrivalRate", "rampTo", "arrivalCount", "pause", "maxVusers", "mode"];
/// What Artillery runs where a script has no phases.
const DEFAULT: &str = "there are no phases: Artillery lets one virtual user arrive, within a second";

/// A phase.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Phase {
    /// Its name, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it stands.
    #[serde(flatten)]
    pub at: Option<Place>,
    /// As it is written, or as Artillery resolved it.
    pub phase: Value,
    /// What it asks for.
    pub asks: Asks,
}

/// What a phase asks for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Asks {
    /// Of one process that runs all of it.
    Load {
        /// How long it takes.
        milliseconds: f64,
        /// How many virtual users arrive; none where chance decides.
        vusers: Option<u64>,
        /// How many arrive in a second, at the beginning and at the end.
        rate: (f64, f64),
    },
    /// Nothing: Artillery passes over it.
    PassedOver,
    /// Artillery resolves it.
    KnownAtRunTime,
    /// What Artillery breaks on.
    Wrong,
}

/// All phases.
#[derive(Clone, Debug, Default)]
pub struct Phases {
    /// In their order.
    pub all: Vec<Phase>,
    /// As Artillery would have them, where that is known.
    pub known: Option<Value>,
    /// What is wrong with them.
    pub problems: Vec<Problem>,
    /// What only Artillery can tell, in words.
    pub at_run_time: Vec<String>,
    /// How long the ramps take together, in seconds.
    ramp_seconds: f64,
}

/// The phases that the texts have, or those that Artillery made of them.
pub fn phases(sources: &Sources<'_>, resolved: Option<&Value>, workers: u32, split: Distribution) -> Phases {
    let found = sources.find("phases");
    let setting = if let Known::Here(setting) = &found { Some(*setting) } else { None };
    let mut phases = Phases::default();
    let values = match (resolved, &found) {
        (Some(resolved), _) => resolved.clone(),
        (None, Known::Here(setting)) if setting.node.list().is_none() => {
            phases.wrong_list(setting);
            return phases;
        }
        (None, Known::Here(setting)) => setting.node.json(),
        (None, Known::Overridden(value)) => (*value).clone(),
        (None, Known::Nothing) => {
            phases.at_run_time.extend((!sources.texts.is_empty()).then(|| DEFAULT.to_owned()));
            json!([{"duration": 1, "arrivalCount": 1}])
        }
        (None, Known::Merged(settings)) => {
            let places = settings.iter().map(|setting| format!("{}:{}", setting.file, setting.key.at.line));
            let places = places.collect::<Vec<_>>().join(" and ");
            phases.at_run_time.push(format!("the phases, which Artillery merges of those at {places}"));
            return phases;
        }
    };
    let values = if resolved.is_some() { values } else { with_mode(values, &sources.find("mode")) };
    if sources.texts.is_empty() && resolved.is_none() {
        phases.at_run_time.push("everything in the script, which is a program".to_owned());
        return phases;
    }
    if values.as_array().is_some_and(|values| values.len() > MAX_PLANNED_PHASES) {
        // which is said at once: of so many none is looked at
        phases.check_whole(&values, setting.as_ref(), workers, split);
        return phases;
    }
    let nodes = setting.and_then(|setting| Some((setting.file, setting.node.list()?)));
    // those that Artillery made may be others
    let nodes =
        nodes.filter(|(_, nodes)| values.as_array().is_some_and(|values| values.len() == nodes.len()));
    for (i, value) in values.as_array().into_iter().flatten().enumerate() {
        let node = nodes.map(|(file, nodes)| (file, &nodes[i]));
        phases.add(i, node, value.clone(), (workers, split));
    }
    let is_known = |phase: &Phase| matches!(phase.asks, Asks::Load { .. } | Asks::PassedOver);
    if phases.all.iter().all(is_known) {
        phases.check_whole(&values, setting.as_ref(), workers, split);
    } else if phases.all.iter().any(|phase| phase.asks == Asks::KnownAtRunTime) {
        phases.at_run_time.push("phases with templates".to_owned());
    }
    phases
}

impl Phases {
    fn wrong_list(&mut self, setting: &Setting<'_>) {
        let is_template = has_template(&setting.node.json());
        if is_template {
            self.at_run_time.push("config.phases, which is a template".to_owned());
        } else {
            self.problems.push(Problem::of(setting, "config.phases is expected to be a list of phases"));
        }
    }

    fn add(
        &mut self,
        index: usize,
        node: Option<(&str, &Node)>,
        value: Value,
        (workers, distribution): (u32, Distribution),
    ) {
        let name = value.get("name").and_then(Value::as_str).map(str::to_owned);
        let at = node.map(|(_, node)| node.at);
        let mut asks = Asks::KnownAtRunTime;
        for (file, key) in unknown_keys(node) {
            let known = KEYS.join(", ");
            let message =
                format!("Artillery knows no {} of a phase, and passes over it: it knows {known}", key.text);
            self.problems.push(Problem::at(file, key.at, message));
        }
        if !has_template(&without_name(&value)) {
            let asked = match is_ramp(&value) && self.ramp_seconds > MAX_RAMP_SECONDS {
                // it was said, and to count the next ones takes long
                true => Ok(Asks::Wrong),
                false => asked(&value, workers, distribution).and_then(|asks| self.within(&value, asks)),
            };
            asks = match asked {
                Ok(asks) => asks,
                Err(PlanError { field, message, .. }) => {
                    let message = format!("phase {index}: {message}");
                    self.problems.push(match node {
                        Some((file, node)) => {
                            let at = field.and_then(|field| node.get(field)).map_or(node.at, |node| node.at);
                            Problem::at(file, at, message)
                        }
                        None => Problem::nowhere(format!("config.phases: {message}")),
                    });
                    Asks::Wrong
                }
            };
        }
        self.all.push(Phase { name, at, phase: value, asks });
    }

    /// What a phase asks for, unless the ramps take too long with it.
    fn within(&mut self, phase: &Value, asks: Asks) -> Result<Asks, PlanError> {
        let Asks::Load { milliseconds, .. } = asks else { return Ok(asks) };
        self.ramp_seconds += if is_ramp(phase) { milliseconds / 1000.0 } else { 0.0 };
        let seconds = self.ramp_seconds;
        if !is_ramp(phase) || seconds <= MAX_RAMP_SECONDS {
            return Ok(asks);
        }
        let message =
            format!("with it the ramps take {seconds} s together: at most {MAX_RAMP_SECONDS} are planned");
        Err(PlanError { phase: 0, field: None, message })
    }

    /// What is wrong with all of them together; of each of them nothing is.
    fn check_whole(
        &mut self,
        values: &Value,
        setting: Option<&Setting<'_>>,
        workers: u32,
        distribution: Distribution,
    ) {
        let problem = |message: String| match setting {
            Some(setting) => Problem::of(setting, message),
            None => Problem::nowhere(message),
        };
        let whole = match distribution {
            Distribution::Replicate => plan(values).map_err(ShareError::from),
            Distribution::Split => Split::new(values, workers).map(|split| split.plan(0)),
        };
        match whole {
            Ok(plans) if plans.is_empty() => {
                self.problems.push(problem("no phase has any load: Artillery ends at once".to_owned()));
            }
            Ok(_) => self.known = Some(values.clone()),
            Err(error) => self.problems.push(problem(format!("config.{error}"))),
        }
    }
}

/// Phases without a `mode` get that of `config`, as in Artillery's thread; one that is a template makes templates of them.
fn with_mode(mut phases: Value, mode: &Known<'_>) -> Value {
    let mode = match mode {
        Known::Here(setting) => setting.node.json(),
        Known::Overridden(value) => (*value).clone(),
        Known::Nothing | Known::Merged(_) => return phases,
    };
    let is_empty = |mode: &Value| mode.as_str().is_none_or(str::is_empty);
    for phase in phases.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        if !is_empty(&mode) && phase.get("mode").is_none_or(is_empty) {
            phase.insert("mode".to_owned(), mode.clone());
        }
    }
    phases
}

/// A name may be a template without any harm.
fn without_name(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("name");
    }
    value
}

fn unknown_keys<'a>(node: Option<(&'a str, &'a Node)>) -> Vec<(&'a str, &'a super::document::Key)> {
    let Some((file, node)) = node else { return Vec::new() };
    let keys = node.entries().iter().map(|(key, _)| key);
    keys.filter(|key| !KEYS.contains(&key.text.as_str())).map(|key| (file, key)).collect()
}

fn asked(phase: &Value, workers: u32, distribution: Distribution) -> Result<Asks, PlanError> {
    if !phase.is_object() {
        let message =
            format!("it is {phase}: a mapping, such as {{duration: 60, arrivalRate: 5}}, is expected");
        return Err(PlanError { phase: 0, field: None, message });
    }
    // with one that has load, lest idle ones come to nothing
    let plans = plan(&json!([phase, {"duration": 1, "arrivalCount": 1}]))?;
    let is_passed_over = is_passed_over(phase);
    let shared = match Split::new(&json!([phase]), workers) {
        // what Artillery passes over for good reason, and what it would take
        Err(ShareError::Phase(error)) if is_passed_over || distribution == Distribution::Split => Err(error),
        _ => Ok(()),
    };
    shared?;
    let planned = plans.first().filter(|_| !is_passed_over);
    Ok(planned.map_or(Asks::PassedOver, |plan| Asks::Load {
        milliseconds: plan.length_milliseconds,
        vusers: match plan.arrivals {
            Arrivals::Exactly(arrivals) => Some(arrivals),
            Arrivals::ByChance => None,
        },
        rate: rate(phase, plan),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::config::Source;
    use crate::plan::document::read;

    fn of(phases: &str, distribution: Distribution) -> Phases {
        let root = read(&format!("config:\n  phases:\n{phases}")).expect("a tree");
        let script = Source { file: "s.yaml".to_owned(), root };
        let sources = Sources { texts: vec![&script], ..Sources::default() };
        super::phases(&sources, None, 4, distribution)
    }

    #[test]
    fn each_problem_of_a_phase_is_said_where_it_stands() {
        for (phases, said) in [
            (
                "    - {duration: 5, arrivalRate: 2.5}",
                "s.yaml:3:34: phase 0: its arrivalRate is 2.5: a whole number is expected",
            ),
            (
                "    - {duration: soon, arrivalRate: 2}",
                "s.yaml:3:18: phase 0: its duration is \"soon\": whole seconds",
            ),
            ("    - arrivalRate: 2", "s.yaml:3:7: phase 0: its duration is missing: whole seconds"),
            (
                "    - duration: 1\n      arivalRate: 2\n      arrivalRate: 1",
                "s.yaml:4:7: Artillery knows no arivalRate of a phase, and passes over it: it knows name,",
            ),
            (
                "    - {duration: 5}",
                "s.yaml:3:7: phase 0: it is {\"duration\":5}: an object with one of arrivalRate",
            ),
            ("    - 5", "s.yaml:3:7: phase 0: it is 5: a mapping, such as"),
            ("    - pause: 5", "s.yaml:2:3: no phase has any load"),
            ("    duration: 5", "s.yaml:2:3: config.phases is expected to be a list of phases"),
        ] {
            let found = of(phases, Distribution::Replicate);
            let problems: Vec<_> = found.problems.iter().map(Problem::to_string).collect();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].starts_with(said), "{problems:?}");
        }
        let capped = "    - {duration: 5, arrivalRate: 2, maxVusers: 1.5}";
        assert_eq!(of(capped, Distribution::Replicate).problems, []);
        let problems = of(capped, Distribution::Split).problems;
        assert!(problems[0].message.contains("its maxVusers is 1.5"), "{problems:?}");
    }

    #[test]
    fn all_problems_are_found_and_not_the_first_only() {
        let found = of(
            "    - {duration: 5, arrivalRate: 2.5, ramp: 1}\n    - {pause: x}\n    - {duration: 1, arrivalCount: 3}",
            Distribution::Replicate,
        );
        assert_eq!(found.problems.len(), 3, "{:?}", found.problems);
        assert_eq!(found.known, None);
        let asks = Asks::Load { milliseconds: 999.999, vusers: Some(3), rate: (3.0, 3.0) };
        assert_eq!(found.all[2].asks, asks);
    }

    #[test]
    fn what_takes_too_long_to_plan_is_refused_before_it_is_planned() {
        let said = |found: &Phases| found.problems.iter().map(Problem::to_string).collect::<Vec<_>>();
        // two are too long together, and each of the others would take its time
        let ramps = "    - {duration: 864000, arrivalRate: 1, rampTo: 2}\n".repeat(999);
        let found = of(&format!("{ramps}    - {{pause: x}}"), Distribution::Split);
        let said_of = said(&found);
        assert_eq!(said_of.len(), 2, "{said_of:?}");
        assert_eq!(
            said_of[0],
            "s.yaml:4:7: phase 1: with it the ramps take 1728000 s together: at most 864000 are planned"
        );
        assert!(said_of[1].contains("phase 999: its pause is \"x\""), "{said_of:?}");
        let found = of(&"    - {pause: 1}\n".repeat(MAX_PLANNED_PHASES + 1), Distribution::Replicate);
        assert_eq!(said(&found), ["s.yaml:2:3: config.phases[1000]: there are more than 1000 phases"]);
        assert!(found.all.is_empty(), "none is looked at");
    }

    #[test]
    fn phases_without_a_mode_have_that_of_config() {
        let of = |config: &str, phase: &str| {
            let text = format!("config: {{{config}phases: [{{duration: 5, arrivalRate: 2{phase}}}]}}");
            let script = Source { file: "s.yaml".to_owned(), root: read(&text).expect("a tree") };
            let overrides = json!({"config": {"mode": "uniform"}});
            let sources = |overrides| Sources { texts: vec![&script], overrides, ..Sources::default() };
            let resolved = json!([{"duration": 5, "arrivalRate": 2}]);
            let phases =
                |sources, resolved| super::phases(&sources, resolved, 4, Distribution::Replicate).all[0].asks;
            [(None, None), (Some(&overrides), None), (None, Some(&resolved))].map(|(overrides, resolved)| {
                match phases(sources(overrides), resolved) {
                    Asks::Load { vusers, .. } => vusers.map_or("by chance", |_| "exactly"),
                    Asks::KnownAtRunTime => "at run time",
                    Asks::PassedOver | Asks::Wrong => "wrong",
                }
            })
        };
        let exactly = "exactly";
        assert_eq!(of("", ""), [exactly; 3]);
        assert_eq!(of("", ", mode: poisson"), ["by chance", "by chance", exactly]);
        assert_eq!(of("mode: poisson, ", ""), ["by chance", exactly, exactly], "none, overridden, resolved");
        assert_eq!(of("mode: poisson, ", ", mode: uniform"), [exactly; 3]);
        assert_eq!(of("mode: poisson, ", ", mode: null"), ["by chance", exactly, exactly]);
        assert_eq!(of("mode: '{{ $env.MODE }}', ", ""), ["at run time", exactly, exactly]);
        assert_eq!(of("mode: bursts, ", ""), ["wrong", exactly, exactly]);
    }

    #[test]
    fn what_artillery_resolves_is_left_to_it() {
        let found = of(
            "    - {duration: 5, arrivalRate: '{{ $env.RATE }}'}\n    - {name: '{{ x }}', duration: 1, arrivalRate: 3}",
            Distribution::Split,
        );
        assert_eq!((found.problems.len(), found.known), (0, None));
        assert_eq!(found.all[0].asks, Asks::KnownAtRunTime);
        assert!(matches!(found.all[1].asks, Asks::Load { vusers: Some(3), .. }));
        assert_eq!(found.at_run_time, ["phases with templates"]);
        let found = of(
            "    - {duration: 5, arrivalRate: 0}\n    - {duration: 1, arrivalRate: 3}",
            Distribution::Split,
        );
        assert_eq!((found.all[0].asks, found.known.is_some()), (Asks::PassedOver, true));
    }
}
