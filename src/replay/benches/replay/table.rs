//! Figures as Markdown, to be put into the documentation as they are.

/// A table that grows.
#[derive(Debug)]
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<T: ToString>(what: &str, columns: &[T]) -> Self {
        let columns = columns.iter().map(T::to_string);
        Self { head: std::iter::once(what.to_owned()).chain(columns).collect(), rows: Vec::new() }
    }

    /// A cell at the end of a row, which is made if it is not there.
    pub fn add(&mut self, row: &str, column: impl ToString, cell: String) {
        let column = column.to_string();
        let at = self.head.iter().position(|h| *h == column).expect("a column");
        let width = self.head.len();
        let known = self.rows.iter().position(|r| r[0] == row);
        let n = known.unwrap_or_else(|| {
            let mut new = vec![String::new(); width];
            row.clone_into(&mut new[0]);
            self.rows.push(new);
            self.rows.len() - 1
        });
        self.rows[n][at] = cell;
    }

    pub fn print(&self) {
        println!();
        for (n, row) in std::iter::once(&self.head).chain(&self.rows).enumerate() {
            println!("| {} |", row.join(" | "));
            if n == 0 {
                println!("|{}", " --- |".repeat(row.len()));
            }
        }
        println!();
    }
}

/// The value below which that share of them is; they are sorted by it.
pub fn share(values: &mut [f64], of: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get((values.len().saturating_sub(1) as f64 * of) as usize).copied().unwrap_or(f64::NAN)
}
