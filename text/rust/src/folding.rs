//! The compiler computes what consists of constants, without fuel or limit. A list repeated a hundred million times is
//! lazy and costs nothing yet, but comparing two of them, or writing one out, takes seconds. Such a template is refused.

use minijinja::machinery::ast::{BinOpKind, Call, CallArg, Expr, Macro, Stmt};
use minijinja::value::ValueKind;

/// What the compiler makes of an expression.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Folded {
    Not,
    Scalar,
    List,
    /// A list that a template repeats by `*`.
    Repeated,
}

/// Finds a repeated list of constants that is compared or written out at compile time.
pub fn folds_repeated_list(statement: &Stmt) -> bool {
    match statement {
        Stmt::Template(it) => any(&it.children),
        Stmt::EmitExpr(it) => refused(&it.expr),
        Stmt::EmitRaw(_) | Stmt::Continue(_) | Stmt::Break(_) => false,
        Stmt::ForLoop(it) => {
            refused(&it.iter) || it.filter_expr.as_ref().is_some_and(refused) || any(&it.body) || any(&it.else_body)
        }
        Stmt::IfCond(it) => refused(&it.expr) || any(&it.true_body) || any(&it.false_body),
        Stmt::WithBlock(it) => it.assignments.iter().any(|(_, expr)| refused(expr)) || any(&it.body),
        Stmt::Set(it) => refused(&it.target) || refused(&it.expr),
        Stmt::SetBlock(it) => it.filter.as_ref().is_some_and(refused) || any(&it.body),
        Stmt::AutoEscape(it) => refused(&it.enabled) || any(&it.body),
        Stmt::FilterBlock(it) => refused(&it.filter) || any(&it.body),
        Stmt::Macro(it) => in_macro(it),
        Stmt::CallBlock(it) => in_call(&it.call) || in_macro(&it.macro_decl),
        Stmt::Do(it) => in_call(&it.call),
    }
}

fn any(statements: &[Stmt]) -> bool {
    statements.iter().any(folds_repeated_list)
}

fn in_macro(it: &Macro) -> bool {
    it.defaults.iter().any(refused) || any(&it.body)
}

fn in_call(it: &Call) -> bool {
    refused(&it.expr) || in_args(&it.args)
}

fn in_args(args: &[CallArg]) -> bool {
    args.iter().any(|argument| match argument {
        CallArg::Pos(expr) | CallArg::Kwarg(_, expr) | CallArg::PosSplat(expr) | CallArg::KwargSplat(expr) => refused(expr),
    })
}

fn refused(expr: &Expr) -> bool {
    fold(expr).is_none()
}

/// None: refused.
fn fold(expr: &Expr) -> Option<Folded> {
    let not_if = |bad: bool| (!bad).then_some(Folded::Not);
    match expr {
        Expr::Var(_) => Some(Folded::Not),
        Expr::Const(it) if matches!(it.value.kind(), ValueKind::Seq | ValueKind::Iterable) => Some(Folded::List),
        Expr::Const(_) => Some(Folded::Scalar),
        Expr::List(it) => fold_items(&it.items),
        Expr::Tuple(it) => fold_items(&it.items),
        Expr::Map(it) => Some(fold_items(&it.keys)?.min(fold_items(&it.values)?)),
        Expr::UnaryOp(it) => Some(fold(&it.expr)?.min(Folded::Scalar)),
        Expr::BinOp(it) => fold_pair(it.op, fold(&it.left)?, fold(&it.right)?),
        Expr::Compare(it) => {
            let mut sides = vec![fold(&it.expr)?];
            for op in &it.ops {
                sides.push(fold(&op.expr)?);
            }
            match sides.contains(&Folded::Not) {
                true => Some(Folded::Not),
                false => (!sides.contains(&Folded::Repeated)).then_some(Folded::Scalar),
            }
        }
        Expr::Slice(it) => {
            let parts = [&it.start, &it.stop, &it.step];
            not_if(refused(&it.expr) || parts.into_iter().flatten().any(refused))
        }
        Expr::IfExpr(it) => {
            let other = it.false_expr.as_ref().is_some_and(refused);
            not_if(refused(&it.test_expr) || refused(&it.true_expr) || other)
        }
        Expr::Filter(it) => not_if(it.expr.as_ref().is_some_and(refused) || in_args(&it.args)),
        Expr::Test(it) => not_if(refused(&it.expr) || in_args(&it.args)),
        Expr::GetAttr(it) => not_if(refused(&it.expr)),
        Expr::GetItem(it) => not_if(refused(&it.expr) || refused(&it.subscript_expr)),
        Expr::Call(it) => not_if(in_call(it)),
    }
}

/// Lists of scalars alone are constants of their own.
fn fold_items(items: &[Expr]) -> Option<Folded> {
    let mut folded = Folded::List;
    for item in items {
        if fold(item)? != Folded::Scalar || !matches!(item, Expr::Const(_)) {
            folded = Folded::Not;
        }
    }
    Some(folded)
}

fn fold_pair(op: BinOpKind, left: Folded, right: Folded) -> Option<Folded> {
    let (least, most) = (left.min(right), left.max(right));
    match op {
        _ if least == Folded::Not => Some(Folded::Not),
        BinOpKind::Mul if most >= Folded::List => Some(Folded::Repeated),
        BinOpKind::Add | BinOpKind::ScAnd | BinOpKind::ScOr => Some(most),
        _ => (most != Folded::Repeated).then_some(Folded::Scalar),
    }
}
