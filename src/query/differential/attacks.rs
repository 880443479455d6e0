//! What someone asks who looks for rows of others: beside the generated questions, so that no way past his reach is left
//! to chance. `reach` asks them.

use super::data::{DATASET, Kind};
use super::expression::Maker;
use super::reach::NUMBER;
use crate::query::page::PageRequest;
use crate::query::sequences::Kind as Sequence;

/// A condition that is a fault for a row of the other tenant, and for no own one.
fn failing(field: &str) -> String {
    let (from, to) = (NUMBER - 1, NUMBER + 1);
    format!("9223372036854775807 + (CASE WHEN {field} BETWEEN {from} AND {to} THEN 1 ELSE 0 END) > 0")
}

/// A condition that is a fault for some rows, of whoever they are, unless they are ruled out together with others.
fn of_own(field: &str) -> String {
    format!("9223372036854775807 + (CASE WHEN {field} = 3 THEN 1 ELSE 0 END) > 0 OR {field} < 1000000000")
}

/// SQL that looks for rows of others in places that the generated one does not have.
pub(super) fn attacks(maker: &mut Maker<'_>) -> Vec<String> {
    let (any, condition) = (maker.any(2), maker.condition(2));
    // an index on the field has it before the record, where records have one
    let numbers = maker.field(&[Kind::Small, Kind::Wide, Kind::Huge]);
    let failing = numbers.map(|field| failing(&field)).unwrap_or_else(|| "true".into());
    let alike = failing.replacen("(CASE WHEN ", "(CASE WHEN y.", 1);
    [
        "SELECT tenant, count(*) FROM {d} GROUP BY tenant ORDER BY 1",
        "SELECT count(*) FROM {d}",
        "SELECT count(*) FROM {d} WHERE tenant <> 'a' OR tenant IS NULL OR true",
        "SELECT 'a' AS tenant, count(*) FROM {d} WHERE tenant = 'b' OR 1 = 1",
        "SELECT 'b' AS tenant, _seq FROM {d} ORDER BY tenant, _seq",
        "WITH {d} AS (SELECT * FROM {d}) SELECT count(*), min(tenant), max(tenant) FROM {d}",
        "SELECT x._seq, (SELECT count(*) FROM {d} y WHERE y._seq < x._seq) FROM {d} x ORDER BY 1",
        "SELECT x._seq FROM {d} x WHERE EXISTS (SELECT 1 FROM {d} y WHERE y.tenant <> x.tenant)",
        "SELECT _seq, row_number() OVER (ORDER BY _seq), lag(tenant) OVER (ORDER BY _seq), \
         count(*) OVER (PARTITION BY tenant) FROM {d} ORDER BY _seq",
        "SELECT x._seq, y._seq FROM {d} x FULL JOIN {d} y ON y._seq = x._seq + 1 ORDER BY 1, 2",
        "SELECT _seq FROM {d} EXCEPT SELECT _seq FROM {d} WHERE tenant = 'a'",
        "SELECT _seq FROM {d} WHERE tenant NOT IN (SELECT tenant FROM {d}) ORDER BY 1",
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 40) \
         SELECT i, tenant FROM n LEFT JOIN {d} ON _seq = i ORDER BY 1, 2",
        "SELECT min(_time), max(_time), min(_seq), max(_seq), approx_uniq(tenant), uniq(tenant) FROM {d}",
        "SELECT sum(1 // (CASE WHEN tenant = 'a' THEN 1 ELSE 0 END)) FROM {d}",
        "SELECT count(*) FROM {d} WHERE regexp_replace('x', '(', tenant) = 'x' AND tenant = 'b'",
        "SELECT count(*) FROM {d} WHERE 9223372036854775807 + (CASE WHEN tenant = 'a' THEN 0 ELSE 1 END) > 0",
        "SELECT count(*) FROM {d} x JOIN {d} y ON 9223372036854775807 + (CASE WHEN y.tenant = 'a' THEN 0 ELSE 1 END) > 0",
        "SELECT tenant, avg(events) FROM sessions({d}, tenant, '30m') GROUP BY tenant",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM pragma_table_list",
        "SELECT * FROM nothing",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain([
        format!("SELECT count(*), min({any}), max({any}) FROM {{d}}"),
        format!("SELECT {any} AS tenant, count(*) FROM {{d}} WHERE {condition} GROUP BY 1"),
        format!("SELECT x._seq, {any} FROM {{d}} x WHERE {condition} ORDER BY 1 LIMIT 5"),
        format!("SELECT count(*) FROM {{d}} WHERE {failing}"),
        format!("SELECT min(_seq) FROM {{d}} WHERE {failing} GROUP BY tenant"),
        format!("SELECT count(*) FROM {{d}} x JOIN {{d}} y ON {alike}"),
        format!("SELECT x._seq FROM {{d}} x WHERE EXISTS (SELECT 1 FROM {{d}} y WHERE {alike}) ORDER BY 1"),
        format!("SELECT count(*) FROM {{d}} AS x WHERE EXISTS (SELECT 1 FROM {{d}} WHERE {condition})"),
    ])
    .map(|sql| sql.replace("{d}", DATASET))
    .collect()
}

/// A page of a generated condition and order.
pub(super) fn request(maker: &mut Maker<'_>) -> PageRequest {
    let names: Vec<&str> =
        maker.fields.iter().map(|field| field.name).filter(|name| !name.contains(['(', ','])).collect();
    let order = maker.random.chance(60).then(|| {
        let name = *maker.random.pick(&names);
        format!("{}{name}", if maker.random.chance(50) { "-" } else { "" })
    });
    let filter = match maker.random.below(6) {
        0 | 1 => None,
        2 => maker.field(&[Kind::Small, Kind::Wide, Kind::Huge]).map(|field| failing(&field)),
        3 => maker.field(&[Kind::Small]).map(|field| of_own(&field)),
        _ => Some(maker.condition(2)),
    };
    let page = maker.random.chance(25).then(|| maker.random.between(1, 4) as usize);
    PageRequest {
        dataset: DATASET.into(),
        filter,
        order,
        limit: Some(*maker.random.pick(&[1, 3, 10, 100])),
        count: maker.random.chance(50),
        page,
        ..PageRequest::default()
    }
}

/// What follows what, of generated steps.
pub(super) fn sequences(maker: &mut Maker<'_>) -> Vec<(Sequence, String)> {
    let (first, then, filter) = (maker.condition(1), maker.condition(1), maker.condition(1));
    let by = *maker.random.pick(&["tenant", "_seq % 3", "length(tenant)"]);
    let range = serde_json::json!({"from": "1900-01-01", "to": "2200-01-01"});
    let common = serde_json::json!({"from": DATASET, "by": by, "where": filter, "range": range});
    let with = |more: serde_json::Value| {
        let mut all = common.clone();
        all.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        all.to_string()
    };
    vec![
        (Sequence::Funnel, with(serde_json::json!({"steps": [first, then], "within": "4000w"}))),
        (Sequence::Retention, with(serde_json::json!({"period": "2000w", "start": first}))),
        (Sequence::Paths, with(serde_json::json!({"step": "tenant", "depth": 3}))),
    ]
}
