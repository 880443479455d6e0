//! Where an expression of sqlparser's tree begins in its text. Whoever refuses one says it.

use sqlparser::ast::Expr as Tree;
use sqlparser::tokenizer::Location;

/// Where an expression begins, as far as it is found without going deep.
pub(super) fn location(tree: &Tree) -> Option<Location> {
    let mut at = tree;
    loop {
        at = match at {
            Tree::Identifier(name) => return Some(name.span.start),
            Tree::CompoundIdentifier(parts) => return parts.first().map(|part| part.span.start),
            Tree::Value(value) => return Some(value.span.start),
            Tree::TypedString(typed) => return Some(typed.value.span.start),
            Tree::Function(call) => {
                return call.name.0.first().and_then(|part| part.as_ident()).map(|name| name.span.start);
            }
            Tree::BinaryOp { left, .. } => left,
            Tree::Nested(inner)
            | Tree::IsNull(inner)
            | Tree::IsNotNull(inner)
            | Tree::Cast { expr: inner, .. }
            | Tree::InList { expr: inner, .. }
            | Tree::InSubquery { expr: inner, .. }
            | Tree::Between { expr: inner, .. }
            | Tree::Like { expr: inner, .. }
            | Tree::ILike { expr: inner, .. }
            | Tree::SimilarTo { expr: inner, .. }
            | Tree::Collate { expr: inner, .. }
            | Tree::AtTimeZone { timestamp: inner, .. }
            | Tree::CompoundFieldAccess { root: inner, .. }
            | Tree::UnaryOp { expr: inner, .. } => inner,
            _ => return None,
        };
    }
}
