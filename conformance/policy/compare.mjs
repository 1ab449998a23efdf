// Compares keyturn's decisions with the simulator's: every disagreement is made as small as it can, and must then be one that
// explained.json explains. Every feature must have occurred and mattered often enough, and every explanation must have been needed.
//
// Usage: node compare.mjs PROGRAM [--seed N] [--cases N]
import { parseArgs } from 'node:util'
import { explain, explanations } from './explain.mjs'
import { decider, generate } from './oracle.mjs'
import { shrink } from './shrink.mjs'
import { simulate } from './simulate.mjs'

// Of 20,000 cases: in so many a feature must occur, in so many the answer must depend on it. With fewer cases in proportion, and then not
// every explanation has to be needed.
const floors = { cases: 20000, occurred: 400, decisive: 30 }
const shown = 10 // unexplained disagreements that are printed

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seed: { type: 'string', default: '1' }, cases: { type: 'string', default: '20000' } },
})
const [program] = positionals
const began = performance.now()
const keyturn = decider(program)

const coverage = new Map()
const explained = new Map(explanations.map((e) => [e.name, 0]))
const unexplained = new Map() // by their text, since many shrink to the same
const counts = { cases: 0, allowed: 0, disagreements: 0, unexplained: 0 }

for await (const line of generate(program, values.seed, values.cases)) {
  if (line.features instanceof Array) {
    for (const name of line.features) coverage.set(name, { occurred: 0, decisive: 0 })
    console.log(`seed ${line.seed}, ${line.cases} cases`)
    continue
  }
  await compare(line)
}
keyturn.end()
process.exitCode = report() ? 0 : 1

async function compare(test) {
  counts.cases++
  if (test.allowed) counts.allowed++
  for (const [name, decisive] of Object.entries(test.features)) {
    const c = coverage.get(name)
    if (!c) throw new Error(`the generator does not list the feature ${name}`)
    c.occurred++
    if (decisive) c.decisive++
  }
  if ((await simulate(test)) === test.allowed) return
  counts.disagreements++
  const smallest = await shrink(test, async (candidate) => {
    // The same disagreement: keyturn still says what it said, and the simulator the opposite.
    if ((await keyturn.decide(candidate)) !== test.allowed) return false
    return (await simulate(candidate).catch(() => test.allowed)) !== test.allowed
  })
  const name = explain(smallest)
  if (name) {
    explained.set(name, explained.get(name) + 1)
    return
  }
  counts.unexplained++
  const text = JSON.stringify(smallest, null, 1)
  unexplained.set(text, (unexplained.get(text) ?? 0) + 1)
}

// report prints what was found, and tells whether all is well.
function report() {
  const share = Math.min(1, counts.cases / floors.cases)
  const low = []
  console.log(`\n${'feature'.padEnd(30)} ${'occurred'.padStart(9)} ${'decisive'.padStart(9)}`)
  for (const [name, { occurred, decisive }] of coverage) {
    const below = occurred < floors.occurred * share || decisive < floors.decisive * share
    if (below) low.push(name)
    console.log(`${name.padEnd(30)} ${`${occurred}`.padStart(9)} ${`${decisive}`.padStart(9)}${below ? '  too few' : ''}`)
  }
  console.log('\ndisagreements explained by')
  const idle = []
  for (const [name, n] of explained) {
    if (!n && counts.cases >= floors.cases) idle.push(name)
    console.log(`${`${n}`.padStart(7)} ${name}`)
  }
  console.log(`\n${counts.cases} cases, ${counts.allowed} allowed by keyturn, ${counts.disagreements} disagreements, ${counts.unexplained} unexplained`)
  console.log(`${((performance.now() - began) / 1000).toFixed(1)} s`)
  for (const [text, n] of [...unexplained].sort((a, b) => a[0].length - b[0].length).slice(0, shown)) {
    console.error(`\nunexplained, ${n} times; keyturn ${JSON.parse(text).allowed ? 'allows' : 'refuses'}:\n${text}`)
  }
  if (low.length) console.error(`too few cases of: ${low.join(', ')}`)
  if (idle.length) console.error(`explanations that nothing needed: ${idle.join(', ')}`)
  return counts.unexplained === 0 && low.length === 0 && idle.length === 0
}
