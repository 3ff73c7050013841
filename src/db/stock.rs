//! A store's received goods enter the ledger; balances are sums over it.

use std::io::Read;

use orderhook_actors::ports::StoreError;
use orderhook_domain::ids::{ProductId, StoreId};
use orderhook_domain::quantity::Quantity;
use ring::digest::{SHA256, digest};
use rust_decimal::Decimal;

use crate::db::{Database, store_error};

/// Received goods of one product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The store that received them.
    pub store_id: StoreId,
    /// The SKU.
    pub product_id: ProductId,
    /// How much; above 0.
    pub quantity: Quantity,
}

/// What is wrong with a file of receipts.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptsError {
    /// It is no CSV, or a row has too few or too many fields.
    #[error("the file is no CSV: {0}")]
    Csv(#[from] csv::Error),
    /// The first line does not name the columns.
    #[error("the first line must be store_id,product_id,quantity")]
    Header,
    /// A value cannot be read.
    #[error("line {line}: {column} {problem}")]
    Value {
        /// Counted from 1, the header included.
        line: u64,
        /// Which column.
        column: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// There is nothing in it.
    #[error("the file holds no goods")]
    Empty,
}

/// What importing a file did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// Its goods are in the ledger now.
    Now {
        /// How many rows.
        rows: usize,
    },
    /// The same bytes were imported before; nothing has changed.
    Before {
        /// As which import.
        import_id: i64,
    },
}

/// Reads a file of receipts: CSV with the header `store_id,product_id,quantity`.
///
/// # Errors
/// [`ReceiptsError`] names line and column of the first fault.
pub fn read_receipts(file: impl Read) -> Result<Vec<Receipt>, ReceiptsError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
    if reader.headers()?.iter().ne(["store_id", "product_id", "quantity"]) {
        return Err(ReceiptsError::Header);
    }
    let mut receipts = Vec::new();
    for record in reader.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let wrong = |column: &'static str, problem: String| ReceiptsError::Value { line, column, problem };
        let field = |index: usize| record.get(index).unwrap_or_default();
        let quantity = Quantity::parse_text(field(2)).map_err(|error| wrong("quantity", error.to_string()))?;
        if quantity.is_zero() {
            return Err(wrong("quantity", "must be above 0".to_owned()));
        }
        receipts.push(Receipt {
            store_id: StoreId::parse(field(0)).map_err(|error| wrong("store_id", error.to_string()))?,
            product_id: ProductId::parse(field(1)).map_err(|error| wrong("product_id", error.to_string()))?,
            quantity,
        });
    }
    if receipts.is_empty() {
        return Err(ReceiptsError::Empty);
    }
    Ok(receipts)
}

/// Writes the receipts of a file into the ledger, all or nothing, the same bytes once only.
///
/// # Errors
/// [`StoreError`]; nothing has changed then.
pub async fn import(
    database: &Database,
    file_name: &str,
    bytes: &[u8],
    receipts: &[Receipt],
) -> Result<Imported, StoreError> {
    let digest = digest(&SHA256, bytes).as_ref().to_vec();
    let mut client = database.connection().await?;
    let failed = |error: tokio_postgres::Error| store_error(&error);
    let transaction = client.transaction().await.map_err(failed)?;
    let rows = i64::try_from(receipts.len()).unwrap_or(i64::MAX);
    // Two imports of one file at the same time: the second waits here for the first.
    let enter = "INSERT INTO stock_imports (file_name, sha256, row_count) VALUES ($1, $2, $3) \
                 ON CONFLICT (sha256) DO NOTHING RETURNING import_id";
    let Some(row) = transaction
        .query_opt(enter, &[&file_name, &digest, &rows])
        .await
        .map_err(failed)?
    else {
        let before = "SELECT import_id FROM stock_imports WHERE sha256 = $1";
        let row = transaction.query_one(before, &[&digest]).await.map_err(failed)?;
        return Ok(Imported::Before { import_id: row.get(0) });
    };
    let import_id: i64 = row.get(0);
    let stores: Vec<&str> = receipts.iter().map(|receipt| receipt.store_id.as_str()).collect();
    let products: Vec<&str> = receipts.iter().map(|receipt| receipt.product_id.as_str()).collect();
    let quantities: Vec<Decimal> = receipts.iter().map(|receipt| receipt.quantity.decimal()).collect();
    let receive = "INSERT INTO stock_movements (import_id, store_id, product_id, quantity) \
                   SELECT $1, * FROM unnest($2::text[], $3::text[], $4::numeric[])";
    transaction
        .execute(receive, &[&import_id, &stores, &products, &quantities])
        .await
        .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(Imported::Now { rows: receipts.len() })
}

/// What a store has of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// The SKU.
    pub product_id: String,
    /// The sum over the ledger; negative when more left than was received.
    pub quantity: Decimal,
}

/// The balances of a store, by SKU; of one product when it is named.
///
/// # Errors
/// [`StoreError`] when the database cannot be asked.
pub async fn balances(database: &Database, store: &str, product: Option<&str>) -> Result<Vec<Balance>, StoreError> {
    let client = database.connection().await?;
    let statement = "SELECT product_id, quantity FROM stock_balances \
                     WHERE store_id = $1 AND ($2::text IS NULL OR product_id = $2) ORDER BY product_id";
    let rows = client
        .query(statement, &[&store, &product])
        .await
        .map_err(|error| store_error(&error))?;
    let balance = |row: &tokio_postgres::Row| Balance {
        product_id: row.get(0),
        quantity: row.get::<_, Decimal>(1).normalize(),
    };
    Ok(rows.iter().map(balance).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(file: &str) -> String {
        read_receipts(file.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn receipts_are_read_exactly() {
        let receipts = read_receipts("store_id,product_id,quantity\n8001,007,1.250\n8001, 7 ,3\n".as_bytes()).unwrap();
        let shown: Vec<String> = receipts
            .iter()
            .map(|receipt| format!("{} {}", receipt.product_id, receipt.quantity))
            .collect();
        assert_eq!(shown, ["007 1.25", "7 3"]);
    }

    #[test]
    fn the_first_fault_is_named_by_line_and_column() {
        let head = "store_id,product_id,quantity\n8001,1,1\n";
        assert_eq!(
            problem(&format!("{head}8001,2,1e3\n")),
            "line 3: quantity must be a decimal number"
        );
        assert_eq!(
            problem(&format!("{head}8001,2,0\n")),
            "line 3: quantity must be above 0"
        );
        assert_eq!(
            problem(&format!("{head}8001,,1\n")),
            "line 3: product_id must not be blank"
        );
        assert_eq!(
            problem("8001,1,1\n"),
            "the first line must be store_id,product_id,quantity"
        );
        assert_eq!(problem("store_id,product_id,quantity\n"), "the file holds no goods");
        assert!(problem(&format!("{head}8001,2\n")).starts_with("the file is no CSV"));
    }
}
