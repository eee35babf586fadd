//! The schema's versions: one file a step, run in order, each in a transaction.

use duckdb::Connection;

use crate::error::{DbError, Result};

/// Step `n` (from 0) makes version `n + 1` of version `n`; 0 is an empty file. A released step
/// never changes: a change is a new file, `migrations/<version>-<what>.sql`, which ends with
/// `UPDATE schema_version SET version = <version>`.
const STEPS: &[&str] = &[include_str!("schema.sql")];

/// Brings the database to the newest version.
pub(crate) fn migrate(db: &Connection) -> Result<()> {
    run(db, STEPS)
}

fn run(db: &Connection, steps: &[&str]) -> Result<()> {
    let found = version(db)?;
    let known = steps.len() as u32;
    if found > known {
        return Err(DbError::Version { found, known });
    }
    for step in &steps[found as usize..] {
        db.execute_batch("BEGIN")?;
        if let Err(e) = db.execute_batch(step).and_then(|()| db.execute_batch("COMMIT")) {
            // The error of the step says more than that of the rollback.
            let _ = db.execute_batch("ROLLBACK");
            return Err(e.into());
        }
    }
    let now = version(db)?;
    if now != known {
        return Err(DbError::Version { found: now, known });
    }
    Ok(())
}

/// 0 for a file without tables. A file with other tables than ours has no version and is refused.
fn version(db: &Connection) -> Result<u32> {
    let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0));
    if count("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'schema_version'")? == 0 {
        let tables = count("SELECT count(*) FROM duckdb_tables()")?;
        return if tables == 0 { Ok(0) } else { Err(DbError::Row("tables of others".into())) };
    }
    Ok(db.query_row("SELECT max(version) FROM schema_version", [], |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEXT: &str = "ALTER TABLE watermark ADD COLUMN since TIMESTAMP;
                        UPDATE schema_version SET version = 2;";

    #[test]
    fn steps_run_once_and_in_order() {
        let db = Connection::open_in_memory().unwrap();
        run(&db, STEPS).unwrap();
        run(&db, STEPS).unwrap();
        db.execute_batch("INSERT INTO watermark VALUES ('yard', 'segments', '1')").unwrap();
        let next = [STEPS[0], NEXT];
        run(&db, &next).unwrap();
        run(&db, &next).unwrap();
        let kept: String = db
            .query_row("SELECT value FROM watermark WHERE since IS NULL", [], |row| row.get(0))
            .unwrap();
        assert_eq!(kept, "1");
        let older = run(&db, STEPS).unwrap_err();
        assert!(matches!(older, DbError::Version { found: 2, known: 1 }), "{older}");
    }

    #[test]
    fn a_step_that_fails_leaves_nothing_behind() {
        let db = Connection::open_in_memory().unwrap();
        let broken = [STEPS[0], "CREATE TABLE half (x INTEGER); SELECT nonsense;"];
        assert!(run(&db, &broken).is_err());
        assert_eq!(version(&db).unwrap(), 1);
        assert!(db.execute_batch("SELECT * FROM half").is_err());
    }

    #[test]
    fn tables_of_others_are_left_alone() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE mine (x INTEGER)").unwrap();
        assert!(run(&db, STEPS).is_err());
    }
}
