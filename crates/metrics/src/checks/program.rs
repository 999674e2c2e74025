//! An expression as steps for a small stack machine, made by precedence climbing over filtrex's table of operators.
//!
//! filtrex has an LALR grammar whose conflicts that table resolves; all of its binary operators are left-associative. Here an operator is
//! taken where it binds tighter than what is being completed, which gives the same.

use super::names::metric_of;
use super::tokens::{Kind, Token};
use super::value::Value;
use super::{ExpressionError, MAX_DEPTH};

/// A step. Those before it have left their values on the stack.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Value(Value),
    /// The metric of that number.
    Metric(usize),
    Negate,
    Not,
    Binary(Binary),
    /// If the value is true (or is not), keeps it and goes on at the step of that number; else takes it away.
    KeepIf(bool, usize),
    /// Makes a number of the value.
    Number,
    /// Takes the value away, and if it is not true goes on at the step of that number.
    ElseGoTo(usize),
    GoTo(usize),
    /// An array of so many values.
    Array(usize),
    /// A function of so many values.
    Call(Function, usize),
    /// The value's property.
    Property(String),
    /// There is no such function.
    Unknown(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Plus,
    Minus,
    Times,
    Divide,
    Remainder,
    Power,
    Equal,
    NotEqual,
    Matches,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Abs,
    Ceil,
    Floor,
    Log,
    Max,
    Min,
    Random,
    Round,
    Sqrt,
}

impl Function {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "abs" => Self::Abs,
            "ceil" => Self::Ceil,
            "floor" => Self::Floor,
            "log" => Self::Log,
            "max" => Self::Max,
            "min" => Self::Min,
            "random" => Self::Random,
            "round" => Self::Round,
            "sqrt" => Self::Sqrt,
            _ => return None,
        })
    }
}

// How tight an operator binds; filtrex's table, from the loosest on.
const TERNARY: u8 = 1;
const OR: u8 = 2;
const AND: u8 = 3;
const IN: u8 = 4;
const NOT: u8 = 10;
const MINUS: u8 = 11;
const OF: u8 = 12;

/// The binary operator of a sign, and how tight it binds.
fn binary(sign: &str) -> Option<(Binary, u8)> {
    Some(match sign {
        "in" => (Binary::In, IN),
        "==" => (Binary::Equal, 5),
        "!=" => (Binary::NotEqual, 5),
        "~=" => (Binary::Matches, 5),
        "<" => (Binary::Less, 6),
        "<=" => (Binary::LessOrEqual, 6),
        ">" => (Binary::Greater, 6),
        ">=" => (Binary::GreaterOrEqual, 6),
        "+" => (Binary::Plus, 7),
        "-" => (Binary::Minus, 7),
        "*" => (Binary::Times, 8),
        "/" => (Binary::Divide, 8),
        "%" => (Binary::Remainder, 8),
        "^" => (Binary::Power, 9),
        _ => return None,
    })
}

/// An expression that can be evaluated.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Program {
    pub steps: Vec<Step>,
    /// Symbols that stand for no metric that was measured.
    pub unmeasured: Vec<String>,
}

impl Program {
    /// Makes a program of the words of an expression, the last of which is the end.
    pub fn of(tokens: &[Token]) -> Result<Self, ExpressionError> {
        let mut parser = Parser { tokens, next: 0, program: Self::default(), depth: 0 };
        parser.expression(0)?;
        match parser.peek() {
            Kind::End => Ok(parser.program),
            _ => Err(parser.expected("an operator, or the end,")),
        }
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    next: usize,
    program: Program,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn token(&self) -> &'a Token {
        // the end is never passed
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn peek(&self) -> &'a Kind {
        &self.token().kind
    }

    /// Passes the sign if it is the next word.
    fn takes(&mut self, sign: &str) -> bool {
        let is_next = matches!(self.peek(), Kind::Sign(next) if *next == sign);
        self.next += usize::from(is_next);
        is_next
    }

    fn expects(&mut self, sign: &str) -> Result<(), ExpressionError> {
        if self.takes(sign) { Ok(()) } else { Err(self.expected(&format!("`{sign}`"))) }
    }

    fn expected(&self, what: &str) -> ExpressionError {
        let Token { kind, at } = self.token();
        let here = match kind {
            Kind::Sign(sign) => format!("not `{sign}`"),
            Kind::Number(number) => format!("not the number {}", crate::javascript::string(*number)),
            Kind::Symbol(symbol) if metric_of(symbol).is_some() => "not a metric".to_owned(),
            Kind::Symbol(symbol) => format!("not `{symbol}`; is it part of a name that was not measured?"),
            Kind::Text(text) => format!("not the text \"{text}\""),
            Kind::End => "not the end".to_owned(),
        };
        ExpressionError::new(*at, format!("{what} is expected, {here}"))
    }

    fn push(&mut self, step: Step) {
        self.program.steps.push(step);
    }

    /// A step that goes on at a place which is not known yet; it is told with `here`.
    fn jump(&mut self, step: Step) -> usize {
        self.push(step);
        self.program.steps.len() - 1
    }

    fn here(&mut self, jump: usize) {
        let here = self.program.steps.len();
        if let Some(Step::KeepIf(_, to) | Step::ElseGoTo(to) | Step::GoTo(to)) =
            self.program.steps.get_mut(jump)
        {
            *to = here;
        }
    }

    /// An expression whose operators bind tighter than `least`.
    fn expression(&mut self, least: u8) -> Result<(), ExpressionError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("no more than {MAX_DEPTH} expressions in each other are expected");
            return Err(ExpressionError::new(self.token().at, message));
        }
        self.operand()?;
        while self.operator(least)? {}
        self.depth -= 1;
        Ok(())
    }

    /// An operator that binds tighter than `least` and what is on its right; false if there is none.
    fn operator(&mut self, least: u8) -> Result<bool, ExpressionError> {
        let Kind::Sign(sign) = *self.peek() else { return Ok(false) };
        match sign {
            "?" if least < TERNARY => {
                self.next += 1;
                let or_else = self.jump(Step::ElseGoTo(0));
                self.expression(0)?;
                self.expects(":")?;
                let end = self.jump(Step::GoTo(0));
                self.here(or_else);
                self.expression(TERNARY)?;
                self.here(end);
            }
            "or" | "and" if least < if sign == "or" { OR } else { AND } => {
                self.next += 1;
                let end = self.jump(Step::KeepIf(sign == "or", 0));
                self.expression(if sign == "or" { OR } else { AND })?;
                self.here(end);
                self.push(Step::Number);
            }
            // as tight as `not`: `1 + 2 not in 3` is `1 + (2 not in 3)`, other than with `in`
            "not" if least < NOT => {
                self.next += 1;
                self.expects("in")?;
                self.expression(NOT)?;
                self.push(Step::Binary(Binary::NotIn));
            }
            sign => match binary(sign) {
                Some((operator, tightness)) if least < tightness => {
                    self.next += 1;
                    self.expression(tightness)?;
                    self.push(Step::Binary(operator));
                }
                _ => return Ok(false),
            },
        }
        Ok(true)
    }

    fn operand(&mut self) -> Result<(), ExpressionError> {
        let kind = self.peek();
        match kind {
            Kind::Sign("-") => {
                self.next += 1;
                self.expression(MINUS)?;
                self.push(Step::Negate);
            }
            Kind::Sign("not") => {
                self.next += 1;
                self.expression(NOT)?;
                self.push(Step::Not);
            }
            Kind::Sign("(") => {
                self.next += 1;
                let values = self.values()?;
                if values > 1 {
                    self.push(Step::Array(values));
                }
            }
            Kind::Number(number) => {
                self.next += 1;
                self.push(Step::Value(Value::Number(*number)));
            }
            Kind::Text(text) => {
                self.next += 1;
                self.push(Step::Value(Value::Text(text.clone())));
            }
            Kind::Symbol(symbol) => {
                self.next += 1;
                self.symbol(symbol)?;
            }
            Kind::Sign(_) | Kind::End => return Err(self.expected("a metric, a number, a text or `(`")),
        }
        Ok(())
    }

    fn symbol(&mut self, symbol: &str) -> Result<(), ExpressionError> {
        if self.takes("of") {
            self.expression(OF)?;
            self.push(Step::Property(symbol.to_owned()));
        } else if self.takes("(") {
            let function = Function::named(symbol);
            if function.is_none() {
                self.push(Step::Unknown(symbol.to_owned()));
            }
            let values = if self.takes(")") { 0 } else { self.values()? };
            self.program.steps.extend(function.map(|function| Step::Call(function, values)));
        } else if let Some(number) = metric_of(symbol) {
            self.push(Step::Metric(number));
        } else {
            self.push(Step::Value(Value::Undefined));
            if !self.program.unmeasured.iter().any(|known| known == symbol) {
                self.program.unmeasured.push(symbol.to_owned());
            }
        }
        Ok(())
    }

    /// Values with commas between them, and a closing bracket.
    fn values(&mut self) -> Result<usize, ExpressionError> {
        let mut values = 0;
        loop {
            self.expression(0)?;
            values += 1;
            if !self.takes(",") {
                self.expects(")")?;
                return Ok(values);
            }
        }
    }
}
