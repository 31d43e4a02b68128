//! A compiled template with guards around what the engine does without counting it: `guards.rs` has the guards, as
//! filters and tests under names that no template can write.
//!
//! The engine's fuel counts instructions, bytes and items that it makes. It does not count how long two values are
//! compared that hold one list a thousand times, nor what lists weigh that are joined lazily. So, in the instructions:
//! - every filter and test is called through its guard;
//! - what `+`, `*`, slices, functions and methods give is made a plain list where it is lazy;
//! - both sides of a comparison that no test can replace and of `~`, the keys of maps and of lookups, what is unpacked
//!   or looped over, and what a namespace is to hold pass a guard;
//! - a loop's head and a macro's begin look whether anybody still waits.

use crate::guards::{
    guarded_name, GUARD_FEW, GUARD_IN, GUARD_KEEP, GUARD_KEY, GUARD_MAP, GUARD_PAIR, GUARD_PLAIN, GUARD_TICK,
};
use minijinja::machinery::{Instruction, Instructions};
use minijinja::value::ValueKind;
use minijinja::Value;

/// No slot in the engine's table of filters that were looked up.
const NO_SLOT: u8 = !0;

fn call(guard: &'static str, arguments: u16) -> Instruction<'static> {
    Instruction::ApplyFilter(guard, Some(arguments), NO_SLOT)
}

/// Passes the two topmost values through a guard and puts them back as they were.
fn pair(guard: &'static str) -> Vec<Instruction<'static>> {
    vec![call(guard, 2), Instruction::UnpackList(2), Instruction::Swap]
}

fn tick() -> Vec<Instruction<'static>> {
    vec![Instruction::LoadConst(Value::from(())), call(GUARD_TICK, 1), Instruction::DiscardTop]
}

/// Jumps keep their old targets until all are known.
pub fn guard<'source>(old: &Instructions<'source>) -> Instructions<'source> {
    let mut new = Instructions::new(old.name(), old.source());
    let mut places = Vec::new();
    let entries = macro_entries(old);
    let mut length = 0;
    for at in 0.. {
        let Some(instruction) = old.get(at) else { break };
        let mut sequence = if entries.contains(&at) { tick() } else { Vec::new() };
        sequence.extend(guarded(instruction));
        let line = old.get_line(at).unwrap_or(1) as u16;
        places.push(0);
        for (i, instruction) in sequence.into_iter().enumerate() {
            let place = new.add_with_line(instruction, line);
            length = place + 1;
            if i == 0 {
                places[at as usize] = place;
            }
        }
    }
    places.push(length);
    for at in 0.. {
        let Some(instruction) = new.get_mut(at) else { break };
        if let Some(target) = target_of(instruction) {
            *target = places.get(*target as usize).copied().unwrap_or(*target);
        }
    }
    new
}

fn macro_entries(instructions: &Instructions<'_>) -> Vec<u32> {
    let all = (0..).map_while(|at| instructions.get(at));
    all.filter_map(|instruction| match instruction {
        Instruction::BuildMacro(_, entry, _) => Some(*entry),
        _ => None,
    })
    .collect()
}

fn target_of<'a>(instruction: &'a mut Instruction<'_>) -> Option<&'a mut u32> {
    match instruction {
        Instruction::Iterate(target)
        | Instruction::Jump(target)
        | Instruction::JumpIfFalse(target)
        | Instruction::JumpIfFalseOrPop(target)
        | Instruction::JumpIfTrueOrPop(target)
        | Instruction::BuildMacro(_, target, _) => Some(target),
        _ => None,
    }
}

fn guarded<'source>(instruction: &Instruction<'source>) -> Vec<Instruction<'source>> {
    use Instruction as I;
    let itself = instruction.clone();
    let test = |name| vec![I::PerformTest(name, Some(2), NO_SLOT)];
    let plain = |itself| vec![itself, call(GUARD_PLAIN, 1)];
    match instruction {
        I::ApplyFilter(name, count, slot) => vec![I::ApplyFilter(guarded_name(name).unwrap_or(name), *count, *slot)],
        I::PerformTest(name, count, slot) => vec![I::PerformTest(guarded_name(name).unwrap_or(name), *count, *slot)],
        // The compiler joins and repeats lists that are written out; lazily, too.
        I::LoadConst(value) if value.kind() == ValueKind::Iterable => plain(itself),
        I::Add | I::Mul | I::Slice | I::CallFunction(..) | I::CallObject(_) => plain(itself),
        I::CallMethod("changed", Some(2)) => [pair(GUARD_PAIR), plain(itself)].concat(),
        I::CallMethod("changed", Some(count)) if *count > 2 => {
            let list = I::BuildList(Some(usize::from(*count) - 1));
            [vec![list], pair(GUARD_PAIR), plain(I::CallMethod("changed", Some(2)))].concat()
        }
        // With arguments of a number that is not known it cannot be guarded.
        I::CallMethod("changed", None) => vec![I::CallMethod("changed(*)", None)],
        I::CallMethod(..) => plain(itself),
        I::Eq => test("#eq"),
        I::Ne => test("#ne"),
        I::Lt => test("#lt"),
        I::Lte => test("#le"),
        I::Gt => test("#gt"),
        I::Gte => test("#ge"),
        // The test of that name gives false where the operator fails.
        I::In => [pair(GUARD_IN), vec![itself]].concat(),
        I::StringConcat | I::CompareAndPreserve(_) => [pair(GUARD_PAIR), vec![itself]].concat(),
        I::GetItem => vec![call(GUARD_KEY, 1), itself],
        I::BuildMap(count) => vec![I::BuildList(Some(2 * count)), call(GUARD_MAP, 1)],
        I::UnpackList(_) | I::PushLoop(_) => vec![call(GUARD_FEW, 1), itself],
        I::SetAttr(_) => vec![I::Swap, call(GUARD_KEEP, 1), I::Swap, itself],
        I::Iterate(_) => [tick(), vec![itself]].concat(),
        _ => vec![itself],
    }
}
