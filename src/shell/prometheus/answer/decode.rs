//! The way through the body of an answer.

use std::{fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{FOREIGN, MAX_SERIES, Shape, Wanted, refusal};
use crate::{
    api::conditions::Reason,
    core::engine::{Answer, Labels, Refusal, Series},
};

/// What an answer says of itself.
#[derive(Debug, Default)]
pub struct Reply {
    pub status: Option<Status>,
    pub has_data: bool,
    pub error_type: Option<String>,
    pub error: Option<String>,
    /// Parts of it may be missing: it has warnings. (Unlike `infos`, which are hints about the query.)
    pub partial: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Success,
    Error,
}

/// What has been read so far.
pub struct Reader<'a> {
    wanted: Wanted<'a>,
    series: Vec<Series>,
    /// Why the answer is of no use, although it can be read.
    refusal: Option<Refusal>,
    /// Values of the labels that are kept, of one series after the other.
    values: Vec<String>,
}

impl<'a> Reader<'a> {
    pub fn new(wanted: Wanted<'a>) -> Self {
        let labels = wanted.labels.map_or(0, |labels| labels.len());
        Self { wanted, series: Vec::new(), refusal: None, values: vec![String::new(); labels] }
    }

    /// The series.
    pub fn finish(mut self) -> Answer {
        self.series.shrink_to_fit();
        self.refusal.map_or(Ok(self.series), Err)
    }

    /// Notes why the answer is of no use. What comes first, counts.
    fn refuse(&mut self, reason: Reason, message: &str) {
        self.refusal.get_or_insert_with(|| refusal(reason, message));
    }
}

/// Member names that mean something.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum ReplyField {
    Status,
    Data,
    ErrorType,
    Error,
    Warnings,
    #[serde(other)]
    Other,
}

pub struct ReplySeed<'r, 'a>(pub &'r mut Reader<'a>);

impl<'de> DeserializeSeed<'de> for ReplySeed<'_, '_> {
    type Value = Reply;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Reply, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ReplySeed<'_, '_> {
    type Value = Reply;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer of the Prometheus API")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Reply, A::Error> {
        let mut reply = Reply::default();
        while let Some(field) = map.next_key()? {
            match field {
                ReplyField::Status => reply.status = Some(map.next_value()?),
                ReplyField::Data => reply.has_data = map.next_value_seed(DataSeed(&mut *self.0))?,
                ReplyField::ErrorType => reply.error_type = map.next_value()?,
                ReplyField::Error => reply.error = map.next_value()?,
                ReplyField::Warnings => {
                    reply.partial = map.next_value::<Option<Vec<IgnoredAny>>>()?.is_some_and(|all| !all.is_empty());
                }
                ReplyField::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(reply)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum DataField {
    ResultType,
    Result,
    #[serde(other)]
    Other,
}

/// Whether there is any data.
struct DataSeed<'r, 'a>(&'r mut Reader<'a>);

impl<'de> DeserializeSeed<'de> for DataSeed<'_, '_> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for DataSeed<'_, '_> {
    type Value = bool;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a result and its type")
    }
    fn visit_none<E>(self) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_map(self)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let wanted = self.0.wanted.shape.as_str();
        let mut is_wanted = None;
        let mut early: Option<&'de RawValue> = None;
        let mut has_result = false;
        while let Some(field) = map.next_key()? {
            match (field, is_wanted) {
                (DataField::ResultType, _) => {
                    is_wanted = Some(map.next_value_seed(Is(wanted))?);
                    if is_wanted == Some(false) {
                        self.0.refuse(Reason::WrongType, &format!("the answer is not a {wanted}"));
                    }
                }
                (DataField::Result, Some(true)) => {
                    map.next_value_seed(AllSeries(&mut *self.0))?;
                    has_result = true;
                }
                // Its type comes after it.
                (DataField::Result, None) => early = Some(map.next_value()?),
                (DataField::Result, Some(false)) => {
                    map.next_value::<IgnoredAny>()?;
                    has_result = true;
                }
                (DataField::Other, _) => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if let Some(result) = early.filter(|_| is_wanted == Some(true)) {
            let mut json = serde_json::Deserializer::from_str(result.get());
            AllSeries(&mut *self.0).deserialize(&mut json).map_err(A::Error::custom)?;
        }
        if is_wanted.is_none() || !(has_result || early.is_some()) {
            return Err(A::Error::custom("no result, or none of a known type"));
        }
        Ok(true)
    }
}

/// Whether a text is this one.
struct Is(&'static str);

impl<'de> DeserializeSeed<'de> for Is {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is {
    type Value = bool;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }
    fn visit_str<E>(self, text: &str) -> Result<bool, E> {
        Ok(text == self.0)
    }
}

struct AllSeries<'r, 'a>(&'r mut Reader<'a>);

impl<'de> DeserializeSeed<'de> for AllSeries<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for AllSeries<'_, '_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("series")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<(), A::Error> {
        while self.0.series.len() < MAX_SERIES && self.0.refusal.is_none() {
            if all.next_element_seed(OneSeries(&mut *self.0))?.is_none() {
                return Ok(());
            }
        }
        // Whether it is JSON to its end is still of interest: what is cut off is no answer.
        while all.next_element::<IgnoredAny>()?.is_some() {
            self.0.refuse(Reason::QueryTooExpensive, &format!("the answer has more than {MAX_SERIES} series"));
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum SeriesField {
    Metric,
    Value,
    Values,
    Histogram,
    Histograms,
    #[serde(other)]
    Other,
}

struct OneSeries<'r, 'a>(&'r mut Reader<'a>);

impl<'de> DeserializeSeed<'de> for OneSeries<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OneSeries<'_, '_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a series")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (mut labels, mut value, mut values, mut native) = (Labels::default(), None, None, false);
        while let Some(field) = map.next_key()? {
            match field {
                SeriesField::Metric => labels = map.next_value_seed(LabelsSeed(&mut *self.0))?,
                SeriesField::Value => value = map.next_value::<Option<Point>>()?,
                SeriesField::Values => values = map.next_value::<Option<Vec<Point>>>()?,
                SeriesField::Histogram | SeriesField::Histograms => {
                    native |= map.next_value::<Option<IgnoredAny>>()?.is_some();
                }
                SeriesField::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if native {
            self.0.refuse(Reason::WrongType, "the answer holds native histograms");
            return Ok(());
        }
        let points = match self.0.wanted.shape {
            Shape::Vector => value.map(|point| vec![point]),
            Shape::Matrix => values,
        };
        let Some(points) = points else { return Err(A::Error::custom(FOREIGN)) };
        let points = points.into_iter().map(|Point(time, Number(value))| (time, value)).collect();
        self.0.series.push(Series { labels, points });
        Ok(())
    }
}

struct LabelsSeed<'r, 'a>(&'r mut Reader<'a>);

impl<'de> DeserializeSeed<'de> for LabelsSeed<'_, '_> {
    type Value = Labels;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Labels, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for LabelsSeed<'_, '_> {
    type Value = Labels;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("labels")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
        let Reader { wanted: Wanted { labels, .. }, values, .. } = self.0;
        let Some(names) = labels else {
            let mut all = Vec::new();
            while let Some(label) = map.next_entry::<Box<str>, Box<str>>()? {
                all.push(label);
            }
            return Ok(all.into_iter().collect());
        };
        values.iter_mut().for_each(String::clear);
        while let Some(at) = map.next_key_seed(Which(names))? {
            match at.and_then(|at| values.get_mut(at)) {
                Some(value) => map.next_value_seed(Into(value))?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Labels::packed(names, values))
    }
}

/// Which of these names it is.
struct Which<'a>(&'a Arc<[Box<str>]>);

impl<'de> DeserializeSeed<'de> for Which<'_> {
    type Value = Option<usize>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Which<'_> {
    type Value = Option<usize>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a label")
    }
    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|known| **known == *name))
    }
}

/// Writes a text into this one, which keeps its memory.
struct Into<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Into<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Into<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value of a label")
    }
    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.0.clear();
        self.0.push_str(value);
        Ok(())
    }
}

#[derive(Deserialize)]
struct Point(f64, Number);

/// A sample value: a string, because JSON has no NaN.
struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number in a string")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Number, E> {
                text.parse().map(Number).map_err(|_| E::custom("not a number"))
            }
        }
        deserializer.deserialize_str(Text)
    }
}
