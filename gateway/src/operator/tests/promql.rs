//! As much of PromQL as `alerts.yaml` uses, over two scrapes: selectors, `rate` and `increase`, `sum` and `count` with `by`,
//! `time()`, the four operations and comparisons. A vector fires when anything is left of it.

use std::collections::BTreeMap;

/// One value of a scrape.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    value: f64,
}

impl Sample {
    pub(super) fn with(mut self, label: &str, value: &str) -> Self {
        self.labels.insert(label.to_owned(), value.to_owned());
        self
    }
}

/// The samples of a text in the format of OpenMetrics.
pub(super) fn samples(text: &str) -> Vec<Sample> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = match series.split_once('{') {
                Some((name, labels)) => (name, pairs(labels.strip_suffix('}').unwrap())),
                None => (series, Vec::new()),
            };
            let labels = labels.into_iter().map(|(key, _, value)| (key, value)).collect();
            Sample { name: name.to_owned(), labels, value: value.parse().unwrap() }
        })
        .collect()
}

/// `key="value"` and `key!="value"`; no value of these tests has a comma.
fn pairs(text: &str) -> Vec<(String, bool, String)> {
    text.split(',')
        .filter(|pair| !pair.trim().is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap();
            let key = key.trim();
            let is_equal = !key.ends_with('!');
            (key.trim_end_matches('!').to_owned(), is_equal, value.trim().trim_matches('"').to_owned())
        })
        .collect()
}

/// Name and expression of each rule.
pub(super) fn rules(yaml: &str) -> Vec<(String, String)> {
    let of = |line: &str, key: &str| line.trim().strip_prefix(key).map(|rest| rest.trim().to_owned());
    let names = yaml.lines().filter_map(|line| of(line, "- alert:"));
    let expressions = yaml.lines().filter_map(|line| of(line, "expr:"));
    names.zip(expressions).collect()
}

/// What a rule selects.
#[derive(Debug)]
pub(super) struct Selector {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, (bool, String)>,
}

/// Every selector of an expression.
pub(super) fn selectors(expression: &str) -> Vec<Selector> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find("teegate_") {
        let (selector, after) = selector(rest.split_at(start).1);
        found.push(selector);
        rest = after;
    }
    found
}

fn selector(text: &str) -> (Selector, &str) {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (name, mut rest) = text.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        let (inside, after) = inner.split_once('}').unwrap();
        labels = pairs(inside).into_iter().map(|(key, is_equal, value)| (key, (is_equal, value))).collect();
        rest = after;
    }
    (Selector { name: name.to_owned(), labels }, rest)
}

type Vector = Vec<(BTreeMap<String, String>, f64)>;

enum Value {
    Scalar(f64),
    Vector(Vector),
}

/// Whether `expression` leaves anything of two scrapes, the newer at `at` (Unix seconds) and the older a range before it.
pub(super) fn fires(expression: &str, before: &[Sample], now: &[Sample], at: f64) -> Result<bool, String> {
    let mut parser = Parser { rest: expression.trim(), before, now, at };
    let value = parser.comparison()?;
    if !parser.rest.trim().is_empty() {
        return Err(format!("not understood: `{}`", parser.rest));
    }
    match value {
        Value::Vector(vector) => Ok(!vector.is_empty()),
        Value::Scalar(_) => Err("a rule has to be a vector".to_owned()),
    }
}

struct Parser<'a> {
    rest: &'a str,
    before: &'a [Sample],
    now: &'a [Sample],
    at: f64,
}

impl Parser<'_> {
    fn takes(&mut self, word: &str) -> bool {
        let Some(rest) = self.rest.trim_start().strip_prefix(word) else { return false };
        self.rest = rest;
        true
    }

    fn needs(&mut self, word: &str) -> Result<(), String> {
        if self.takes(word) { Ok(()) } else { Err(format!("expected `{word}` at `{}`", self.rest)) }
    }

    fn comparison(&mut self) -> Result<Value, String> {
        let left = self.sum()?;
        type Test = fn(f64, f64) -> bool;
        let tests: [(&str, Test); 4] =
            [("==", |a, b| a == b), ("!=", |a, b| a != b), ("<", |a, b| a < b), (">", |a, b| a > b)];
        let Some((_, test)) = tests.into_iter().find(|(word, _)| self.takes(word)) else { return Ok(left) };
        match (left, self.sum()?) {
            (Value::Vector(vector), Value::Scalar(bound)) => {
                Ok(Value::Vector(vector.into_iter().filter(|(_, value)| test(*value, bound)).collect()))
            }
            _ => Err("only a vector is compared with a number".to_owned()),
        }
    }

    fn sum(&mut self) -> Result<Value, String> {
        let mut left = self.quotient()?;
        while self.takes("-") {
            left = both(left, self.quotient()?, |a, b| a - b);
        }
        Ok(left)
    }

    fn quotient(&mut self) -> Result<Value, String> {
        let mut left = self.atom()?;
        while self.takes("/") {
            left = both(left, self.atom()?, |a, b| a / b);
        }
        Ok(left)
    }

    fn atom(&mut self) -> Result<Value, String> {
        if self.takes("time()") {
            return Ok(Value::Scalar(self.at));
        }
        for (word, is_rate) in [("rate(", true), ("increase(", false)] {
            if self.takes(word) {
                let vector = self.range(is_rate)?;
                self.needs(")")?;
                return Ok(Value::Vector(vector));
            }
        }
        for (word, is_sum) in [("sum", true), ("count", false)] {
            if self.takes(word) {
                return self.aggregate(is_sum);
            }
        }
        if self.rest.trim_start().starts_with("teegate_") {
            return Ok(Value::Vector(self.selected(self.now)));
        }
        let text = self.rest.trim_start();
        let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
        let (number, rest) = text.split_at(end);
        let number = number.parse().map_err(|_| format!("not understood: `{text}`"))?;
        self.rest = rest;
        Ok(Value::Scalar(number))
    }

    fn selected(&mut self, samples: &[Sample]) -> Vector {
        let (selector, rest) = selector(self.rest.trim_start());
        self.rest = rest;
        let suits = |sample: &&Sample| {
            sample.name == selector.name
                && selector.labels.iter().all(|(key, (is_equal, value))| {
                    (sample.labels.get(key).map_or("", String::as_str) == value) == *is_equal
                })
        };
        samples.iter().filter(suits).map(|sample| (sample.labels.clone(), sample.value)).collect()
    }

    /// A series that was not there before has no rate yet: Prometheus needs two samples of it.
    fn range(&mut self, is_rate: bool) -> Result<Vector, String> {
        let start = self.rest;
        let old: BTreeMap<_, _> = self.selected(self.before).into_iter().collect();
        self.rest = start;
        let new = self.selected(self.now);
        self.needs("[")?;
        let (range, rest) = self.rest.split_once("m]").ok_or("expected a range in minutes")?;
        self.rest = rest;
        let seconds = range.parse::<f64>().map_err(|error| error.to_string())? * 60.0;
        let grown = new.into_iter().filter_map(|(labels, value)| {
            let more = value - old.get(&labels)?;
            Some((labels, if is_rate { more / seconds } else { more }))
        });
        Ok(grown.collect())
    }

    fn aggregate(&mut self, is_sum: bool) -> Result<Value, String> {
        let mut by = Vec::new();
        if self.takes("by") {
            self.needs("(")?;
            let (names, rest) = self.rest.split_once(')').ok_or("expected `)`")?;
            self.rest = rest;
            by = names.split(',').map(|name| name.trim().to_owned()).collect();
        }
        self.needs("(")?;
        let Value::Vector(vector) = self.comparison()? else { return Err("a vector is aggregated".to_owned()) };
        self.needs(")")?;
        let mut groups: BTreeMap<BTreeMap<String, String>, f64> = BTreeMap::new();
        for (mut labels, value) in vector {
            labels.retain(|key, _| by.contains(key));
            *groups.entry(labels).or_default() += if is_sum { value } else { 1.0 };
        }
        Ok(Value::Vector(groups.into_iter().collect()))
    }
}

/// Number by number, or of two vectors what has the same labels on both sides.
fn both(left: Value, right: Value, operation: fn(f64, f64) -> f64) -> Value {
    match (left, right) {
        (Value::Scalar(a), Value::Scalar(b)) => Value::Scalar(operation(a, b)),
        (Value::Vector(a), Value::Scalar(b)) => {
            Value::Vector(a.into_iter().map(|(l, a)| (l, operation(a, b))).collect())
        }
        (Value::Scalar(a), Value::Vector(b)) => {
            Value::Vector(b.into_iter().map(|(l, b)| (l, operation(a, b))).collect())
        }
        (Value::Vector(a), Value::Vector(b)) => {
            let b: BTreeMap<_, _> = b.into_iter().collect();
            Value::Vector(a.into_iter().filter_map(|(l, a)| Some((l.clone(), operation(a, *b.get(&l)?)))).collect())
        }
    }
}
