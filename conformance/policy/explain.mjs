// Explains disagreements: explained.json has the reasons, a function here for each says which cases it is about. They are asked of cases
// that are as small as they can be, so what a case has is what the disagreement needs.
import { readFileSync } from 'node:fs'

export const explanations = JSON.parse(readFileSync(new URL('explained.json', import.meta.url), 'utf8'))

// Condition keys that the simulator takes for multivalued whatever a request has.
const multivalued = new Set(['aws:tagkeys', 'aws:calledvia', 'kms:encryptioncontextkeys', 'kms:grantoperations'])

const predicates = {
  anonymous: ({ test }) => !test.allowed && test.who.kind === 'anonymous',

  limitedSession: ({ test, statements }) =>
    test.allowed && test.session !== null && sameAccount(test) &&
    statements.some((s) => s.at === 'key' && s.Effect === 'Allow' && names(s, test.who.arn, '*')),

  notPrincipalLevels: ({ test, statements }) =>
    !test.allowed && statements.some((s) => s.Effect === 'Deny' && s.NotPrincipal?.AWS && !listed(test.who, s.NotPrincipal.AWS)),

  federatedName: ({ test, statements }) =>
    test.who.kind === 'federated' && last(test.who.arn) !== last(test.who.user) &&
    statements.some((s) => s.at === 'key' && names(s, test.who.user, `arn:aws:iam::${test.who.account}:user/${last(test.who.arn)}`)),

  wildcardInType: ({ resources }) => resources.some((r) => /^[^/]*[*?][^/]*\//.test(nameOf(r))),

  variableOf2008: ({ resources, conditions, versions }) =>
    versions.has('2008-10-17') && [...resources, ...conditions.flatMap((c) => c.values)].some(hasVariable),

  variableBeforeName: ({ statements }) => statements.some((s) => s.NotResource?.some((r) => hasVariable(r.split(':key/')[0]))),

  fixedVariable: ({ conditions }) => conditions.some((c) => c.exact && c.values.some((v) => /\$\{[*?$]\}/.test(v))),

  variableOfMultivalued: ({ conditions, resources, test }) =>
    [...resources, ...conditions.flatMap((c) => c.values)].some((v) => variables(v).some((key) => multivalued.has(key) && valuesOf(test, key).length === 1)),

  nullInCondition: ({ conditions, test }) => conditions.some((c) => c.negated && c.request.length && c.values.some((v) => hasNull(test, v))),

  nullInNotResource: ({ statements, test }) => statements.some((s) => s.NotResource?.some((r) => hasNull(test, r))),

  multivaluedWithoutSet: ({ conditions }) => conditions.some((c) => !c.quantifier && c.family !== 'Null' && multivalued.has(c.key) && c.request.length),

  anyIfExists: ({ conditions, test }) =>
    !test.allowed && conditions.some((c) => c.effect === 'Deny' && c.quantifier === 'ForAnyValue' && c.ifExists && !c.request.length),

  malformedArn: ({ conditions, test }) => !test.allowed && conditions.some((c) => c.family === 'Arn' && c.negated && c.values.some((v) => v.split(':').length < 6)),

  unreadableValue: ({ conditions }) => conditions.some((c) => c.negated && c.request.some((v) => unreadable[c.family]?.(v))),

  lenientDate: ({ conditions }) => conditions.some((c) => c.family === 'Date' && c.request.some((v) => unreadable.Date(v) && !Number.isNaN(Date.parse(v)))),

  seconds: ({ conditions }) =>
    conditions.some((c) => {
      const dates = [...c.values, ...c.request]
      return c.family === 'Date' && dates.some(isWhole) && !dates.every((v) => isWhole(v) && v.length > 4)
    }),

  exponent: ({ conditions }) => conditions.some((c) => c.family === 'Numeric' && c.values.some((v) => /e/i.test(v))),

  everyAddress: ({ conditions }) => conditions.some((c) => c.family === 'IpAddress' && c.values.includes('0.0.0.0/0') && c.request.some((v) => !v.includes(':'))),

  loneAddress: ({ conditions }) =>
    conditions.some((c) => {
      const differs = (v, r) => !v.includes('/') && (sameAddress(v, r) || (c.negated && isSix(v) !== isSix(r)))
      return c.family === 'IpAddress' && c.values.some((v) => c.request.some((r) => differs(v, r)))
    }),
}

// What an operator cannot read, where the simulator takes even a negated operator for not met.
const unreadable = {
  Arn: (v) => v.split(':').length < 6,
  Numeric: (v) => !/^[-+]?[\d.]+$/.test(v),
  Date: (v) => !/^\d+$|^\d{4}-\d\d(-\d\d(T[\d:.]+(Z|[-+]\d\d:\d\d))?)?$/.test(v),
  IpAddress: (v) => !isSix(v) && !/^[\d.]+$/.test(v),
}

const isWhole = (v) => /^\d+$/.test(v)
const isSix = (address) => address.includes(':')
const sameAddress = (a, b) => a !== b && isSix(a) && isSix(b) && new URL(`http://[${a}]`).hostname === new URL(`http://[${b}]`).hostname

// listed tells whether a list has somebody at every level: the account, the user or role behind a session, the session itself.
function listed(who, ids) {
  if (ids.includes('*')) return true
  const account = ids.some((id) => id === who.account || id === `arn:aws:iam::${who.account}:root`)
  return account && (who.kind === 'root' || [who.arn, who.role, who.user].every((arn) => !arn || ids.includes(arn)))
}

const sameAccount = (test) => test.who.account === test.resourceAccount
const last = (arn) => arn.slice(arn.lastIndexOf('/') + 1)
const names = (s, ...ids) => s.Principal === '*' || [s.Principal, s.NotPrincipal].some((p) => p?.AWS?.some((id) => ids.includes(id)))
const nameOf = (arn) => arn.split(':').slice(5).join(':')
const hasVariable = (value) => value.includes('${')
const variables = (value) => [...value.matchAll(/\$\{([^},]*:[^},]*)/g)].map((m) => m[1].trim().toLowerCase())
const valuesOf = (test, key) => Object.entries(test.context).flatMap(([k, values]) => (k.toLowerCase() === key ? values : []))

const hasNull = (test, value) => !value.includes(", '") && variables(value).some((key) => valuesOf(test, key).length !== 1)

// look lays out what predicates ask for.
function look(test) {
  const statements = []
  const versions = new Set()
  const add = (at, policy) => {
    if (!policy) return
    versions.add(policy.Version)
    for (const s of policy.Statement) statements.push({ at, ...s })
  }
  add('key', test.keyPolicy)
  add('boundary', test.boundary)
  for (const p of test.identity ?? []) add('identity', p)
  for (const p of test.session ?? []) add('session', p)
  const conditions = statements.flatMap((s) =>
    Object.entries(s.Condition ?? {}).flatMap(([operator, keys]) =>
      Object.entries(keys).map(([key, values]) => {
        const [, quantifier, name, ifExists] = operator.match(/^(?:(ForAllValues|ForAnyValue):)?(.*?)(IfExists)?$/)
        const request = valuesOf(test, key.toLowerCase())
        const family = name.replace('Not', '').match(/^(String|Arn|Numeric|Date|IpAddress|Bool|Binary|Null)/)[1]
        const [negated, exact] = [name.includes('Not'), /^String.*Equals/.test(name)]
        return { effect: s.Effect, quantifier, family, ifExists: !!ifExists, negated, exact, key: key.toLowerCase(), values, request }
      }),
    ),
  )
  const resources = statements.flatMap((s) => [...(s.Resource ?? []), ...(s.NotResource ?? [])])
  return { test, statements, versions, conditions, resources }
}

// explain returns the name of the first explanation of a smallest case, undefined if there is none.
export function explain(test) {
  const view = look(test)
  return explanations.find((e) => predicates[e.name](view))?.name
}

const known = Object.keys(predicates).sort().join()
if (known !== explanations.map((e) => e.name).sort().join()) throw new Error(`explained.json and the predicates differ: ${known}`)
