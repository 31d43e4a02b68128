//! Whether a template takes a message's content in parts: it walks over `content`, whatever it calls the message.

use minijinja::machinery::ast::{Expr, Macro, Stmt};

const CONTENT: &str = "content";

pub fn walks_over_content(statement: &Stmt) -> bool {
    match statement {
        Stmt::Template(it) => any(&it.children),
        Stmt::ForLoop(it) => is_content(&it.iter) || any(&it.body) || any(&it.else_body),
        Stmt::IfCond(it) => any(&it.true_body) || any(&it.false_body),
        Stmt::WithBlock(it) => any(&it.body),
        Stmt::SetBlock(it) => any(&it.body),
        Stmt::AutoEscape(it) => any(&it.body),
        Stmt::FilterBlock(it) => any(&it.body),
        Stmt::Macro(it) => in_macro(it),
        Stmt::CallBlock(it) => in_macro(&it.macro_decl),
        Stmt::EmitExpr(_) | Stmt::EmitRaw(_) | Stmt::Continue(_) | Stmt::Break(_) | Stmt::Set(_) | Stmt::Do(_) => false,
    }
}

fn any(statements: &[Stmt]) -> bool {
    statements.iter().any(walks_over_content)
}

fn in_macro(it: &Macro) -> bool {
    any(&it.body)
}

/// `content` itself, as a macro's argument or a variable, or a member of that name, behind any filters.
fn is_content(expr: &Expr) -> bool {
    match expr {
        Expr::Var(it) => it.id == CONTENT,
        Expr::GetAttr(it) => it.name == CONTENT,
        Expr::GetItem(it) => matches!(&it.subscript_expr, Expr::Const(name) if name.value.as_str() == Some(CONTENT)),
        Expr::Filter(it) => it.expr.as_ref().is_some_and(is_content),
        _ => false,
    }
}
