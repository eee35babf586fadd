//! What commands print: tables for people, JSON and CSV for programs.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::Write;

use clap::ValueEnum;
use serde_json::Value;

use super::CliError;

/// `--format`
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// An array of objects.
    Json,
    /// With a header line.
    Csv,
}

/// Rows of one shape: column names, then values.
#[derive(Debug)]
pub struct Rows {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Rows {
    /// No rows yet.
    pub fn new(columns: &[&'static str]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// One value a column.
    pub fn push(&mut self, row: Vec<Value>) {
        debug_assert_eq!(row.len(), self.columns.len());
        self.rows.push(row);
    }

    /// Prints them.
    pub fn print(&self, format: Format) -> Result<(), CliError> {
        let mut out = std::io::stdout().lock();
        let written = match format {
            Format::Table => writeln!(out, "{}", self.table()),
            Format::Json => writeln!(out, "{}", self.json()),
            Format::Csv => self.csv(&mut out),
        };
        match written {
            // `dvrgate segments | head` is no failure.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(|e| CliError::failed(format!("cannot print: {e}"))),
        }
    }

    fn table(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::NOTHING);
        table.set_header(self.columns.iter().map(|c| c.to_uppercase()));
        for row in &self.rows {
            table.add_row(row.iter().map(text));
        }
        table.lines().map(|l| l.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }

    fn json(&self) -> String {
        let objects: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let pairs = self.columns.iter().map(|c| (*c).to_owned()).zip(row.iter().cloned());
                Value::Object(pairs.collect())
            })
            .collect();
        format!("{:#}", Value::Array(objects))
    }

    fn csv(&self, out: impl Write) -> std::io::Result<()> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(&self.columns)?;
        for row in &self.rows {
            writer.write_record(row.iter().map(text))?;
        }
        writer.flush()
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

/// A line of the answer.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A line beside the answer: warnings, errors.
pub fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_formats_of_the_same_rows() {
        let mut rows = Rows::new(&["token", "bytes"]);
        rows.push(vec!["yard-1".into(), 5.into()]);
        rows.push(vec!["a,b".into(), Value::Null]);
        assert_eq!(rows.table(), " TOKEN   BYTES\n yard-1  5\n a,b");
        let json: Value = serde_json::from_str(&rows.json()).unwrap();
        assert_eq!(json[0]["bytes"], 5);
        let mut csv = Vec::new();
        rows.csv(&mut csv).unwrap();
        assert_eq!(String::from_utf8(csv).unwrap(), "token,bytes\nyard-1,5\n\"a,b\",\n");
    }
}
