//! Evaluates an expression: a stack machine without loops, so that it ends.

use std::cmp::Ordering;

use super::program::{Binary, Function, Step};
use super::value::Value;
use crate::javascript;

/// No pattern of `~=` takes more memory, in bytes: to compile one takes time.
const MAX_PATTERN_MEMORY: usize = 32 << 10;

/// The value of an expression, whose metrics have these values.
///
/// # Errors
/// Why there is none: JavaScript would have thrown something.
pub(super) fn run(steps: &[Step], metrics: &[(String, f64)]) -> Result<Value, String> {
    let mut stack: Vec<Value> = Vec::new();
    let mut next = 0;
    while let Some(step) = steps.get(next) {
        next += 1;
        // each step finds what those before it have left: the parser sees to it
        let mut pop = || stack.pop().unwrap_or(Value::Undefined);
        let value = match step {
            Step::Value(value) => value.clone(),
            Step::Metric(number) => {
                metrics.get(*number).map_or(Value::Undefined, |(_, value)| Value::Number(*value))
            }
            Step::Negate => Value::Number(-pop().number()),
            Step::Not => (!pop().is_true()).into(),
            Step::Binary(operator) => {
                let (right, left) = (pop(), pop());
                binary(*operator, &left, &right)?
            }
            Step::KeepIf(is_true, to) => {
                let value = pop();
                if value.is_true() != *is_true {
                    continue;
                }
                next = *to;
                value
            }
            Step::Number => Value::Number(pop().number()),
            Step::ElseGoTo(to) => {
                if !pop().is_true() {
                    next = *to;
                }
                continue;
            }
            Step::GoTo(to) => {
                next = *to;
                continue;
            }
            Step::Array(values) => Value::Array(stack.split_off(stack.len().saturating_sub(*values))),
            Step::Call(function, values) => {
                call(*function, &stack.split_off(stack.len().saturating_sub(*values)))?
            }
            Step::Property(name) => pop().property(name),
            Step::Unknown(name) => return Err(format!("there is no function {name}()")),
        };
        stack.push(value);
    }
    Ok(stack.pop().unwrap_or(Value::Undefined))
}

fn binary(operator: Binary, left: &Value, right: &Value) -> Result<Value, String> {
    let numbers = |operate: fn(f64, f64) -> f64| Value::Number(operate(left.number(), right.number()));
    let compares = |is_so: fn(Ordering) -> bool| left.compare(right).is_some_and(is_so).into();
    Ok(match operator {
        Binary::Plus => left.plus(right),
        Binary::Minus => numbers(|a, b| a - b),
        Binary::Times => numbers(|a, b| a * b),
        Binary::Divide => numbers(|a, b| a / b),
        Binary::Remainder => numbers(|a, b| a % b),
        Binary::Power => numbers(power),
        Binary::Equal => left.equals(right).into(),
        Binary::NotEqual => (!left.equals(right)).into(),
        Binary::Matches => matches(&left.text(), right)?.into(),
        Binary::Less => compares(Ordering::is_lt),
        Binary::LessOrEqual => compares(Ordering::is_le),
        Binary::Greater => compares(Ordering::is_gt),
        Binary::GreaterOrEqual => compares(Ordering::is_ge),
        Binary::In => left.is_subset_of(right).into(),
        Binary::NotIn => (!left.is_subset_of(right)).into(),
    })
}

/// `Math.pow`, which knows no 1 to the power of what is not known.
fn power(base: f64, exponent: f64) -> f64 {
    let is_unknown = exponent.is_nan() || (exponent.is_infinite() && base.abs() == 1.0);
    if is_unknown { f64::NAN } else { base.powf(exponent) }
}

/// Whether the pattern occurs in the text. It is searched for in linear time: there is no looking around, and no back reference.
fn matches(text: &str, pattern: &Value) -> Result<bool, String> {
    let pattern = if *pattern == Value::Undefined { String::new() } else { pattern.text() };
    let regex = regex::bytes::RegexBuilder::new(&pattern)
        .unicode(false)
        .size_limit(MAX_PATTERN_MEMORY)
        .dfa_size_limit(MAX_PATTERN_MEMORY)
        .build()
        .map_err(|error| {
            let error = error.to_string();
            format!("{pattern:?} is no pattern: {}", error.lines().last().unwrap_or(&error))
        })?;
    Ok(regex.is_match(text.as_bytes()))
}

fn call(function: Function, values: &[Value]) -> Result<Value, String> {
    let first = values.first().map_or(f64::NAN, Value::number);
    let all = || values.iter().map(Value::number);
    let most = |start: f64, of: fn(f64, f64) -> f64| {
        if all().any(f64::is_nan) { f64::NAN } else { all().fold(start, of) }
    };
    Ok(Value::Number(match function {
        Function::Abs => first.abs(),
        Function::Ceil => first.ceil(),
        Function::Floor => first.floor(),
        Function::Log => first.ln(),
        Function::Max => most(f64::NEG_INFINITY, f64::max),
        Function::Min => most(f64::INFINITY, f64::min),
        Function::Round => javascript::round(first),
        Function::Sqrt => first.sqrt(),
        Function::Random => return Err("random() is not evaluated: no check may depend on chance".to_owned()),
    }))
}
