// Makes a case on which the two sides disagree as small as it can: whatever can go while they still disagree, goes.

// parts yields functions that take something out of a case, large things first. Each returns false if there is nothing to take.
function* parts(test) {
  const policies = (c) => [c.keyPolicy, ...(c.identity ?? []), c.boundary, ...(c.session ?? [])].filter(Boolean)
  const named = JSON.stringify(policies(test)).toLowerCase()
  yield (c) => {
    const idle = Object.keys(c.context).filter((k) => !named.includes(k.toLowerCase()))
    for (const k of idle) delete c.context[k]
    return idle.length > 0
  }
  if (test.session) yield (c) => ((c.session = null), true)
  if (test.boundary) yield (c) => ((c.boundary = null), true)
  for (const list of ['session', 'identity']) {
    for (let i = (test[list]?.length ?? 0) - 1; i >= 0; i--) yield (c) => c[list].length > 0 && (c[list].splice(i, 1), true)
  }
  const all = policies(test)
  for (let p = all.length - 1; p >= 0; p--) yield* ofPolicy(all[p], (c) => policies(c)[p])
  for (const [key, values] of Object.entries(test.context)) {
    yield (c) => delete c.context[key]
    for (let i = values.length - 1; i >= 0; i--) yield (c) => c.context[key]?.length > 1 && (c.context[key].splice(i, 1), true)
  }
}

function* ofPolicy(policy, at) {
  for (let s = policy.Statement.length - 1; s >= 0; s--) {
    if (policy.Statement.length > 1) yield (c) => (at(c).Statement.splice(s, 1), true)
    yield* ofStatement(policy.Statement[s], (c) => at(c).Statement[s])
  }
}

function* ofStatement(statement, at) {
  for (const [operator, keys] of Object.entries(statement.Condition ?? {})) {
    yield (c) => {
      delete at(c).Condition[operator]
      if (!Object.keys(at(c).Condition).length) delete at(c).Condition
      return true
    }
    for (const [key, values] of Object.entries(keys)) yield* ofList(values, (c) => at(c).Condition[operator][key])
  }
  for (const [element, other] of [['Action', 'NotAction'], ['Resource', 'NotResource']]) {
    yield (c) => {
      if (at(c)[element]?.[0] === '*') return false
      delete at(c)[other]
      at(c)[element] = ['*']
      return true
    }
    for (const e of [element, other]) if (statement[e]) yield* ofList(statement[e], (c) => at(c)[e])
  }
  for (const element of ['Principal', 'NotPrincipal']) {
    for (const [kind, ids] of Object.entries(statement[element] ?? {})) {
      if (!Array.isArray(ids)) continue
      yield (c) => Object.keys(at(c)[element]).length > 1 && delete at(c)[element][kind]
      yield* ofList(ids, (c) => at(c)[element][kind])
    }
  }
}

function* ofList(list, at) {
  for (let i = list.length - 1; i >= 0; i--) yield (c) => at(c).length > 1 && (at(c).splice(i, 1), true)
}

// shrink returns the smallest case it finds for which disagrees, a function that may be slow, is still true.
export async function shrink(test, disagrees) {
  let smallest = structuredClone(test)
  delete smallest.features
  for (let progress = true; progress; ) {
    progress = false
    // Positions are those of the case at the start of a round: from the back to the front, what went does not move what is to come.
    for (const take of parts(structuredClone(smallest))) {
      const candidate = structuredClone(smallest)
      let taken = false
      try {
        taken = take(candidate)
      } catch {
        // What it was a part of is gone already.
      }
      if (taken && (await disagrees(candidate))) {
        smallest = candidate
        progress = true
      }
    }
  }
  return smallest
}
