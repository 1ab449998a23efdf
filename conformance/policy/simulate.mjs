// The independent side: what the simulator of @cloud-copilot/iam-simulate says of a case.
import { anonymousPrincipal, runSimulation } from '@cloud-copilot/iam-simulate'

// The simulator knows keys with a part of the user's choosing by its slash, and drops kms:EncryptionContext:NAME, which has none, from
// requests. Under another name the key means the same to it.
const spelled = (json) => json.replace(/kms:EncryptionContext:/gi, 'aws:RequestTag/encryption-context-')

// The root user is allowed everything that policies on resources do not keep from it; the simulator has it need an identity policy.
const everything = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] }

function simulationOf(test) {
  const c = JSON.parse(spelled(JSON.stringify(test)))
  const { kind, arn, service } = c.who
  const identity = kind === 'root' ? [everything] : (c.identity ?? [])
  return {
    request: {
      principal: kind === 'anonymous' ? anonymousPrincipal : kind === 'service' ? service : arn,
      action: c.action,
      resource: { resource: c.resource, accountId: c.resourceAccount },
      contextVariables: c.context,
    },
    identityPolicies: identity.map((policy, i) => ({ name: `${i}`, policy })),
    serviceControlPolicies: [],
    resourceControlPolicies: [],
    ...(c.keyPolicy && { resourcePolicy: c.keyPolicy }),
    ...(c.boundary && { permissionBoundaryPolicies: [{ name: 'boundary', policy: c.boundary }] }),
    // It takes one session policy: several allow what any of them allows.
    ...(c.session && { sessionPolicy: { Version: c.session[0]?.Version, Statement: c.session.flatMap((p) => p.Statement) } }),
  }
}

// simulate tells whether the simulator allows a case. It refuses what it does not know; a condition key that it ignores is as bad.
export async function simulate(test) {
  const answer = await runSimulation(simulationOf(test), { simulationMode: 'Strict' })
  if (answer.resultType !== 'single') throw new Error(`the simulator does not take the case: ${JSON.stringify(answer.errors)}`)
  const ignored = answer.result.ignoredContextKeys
  if (ignored.length) throw new Error(`the simulator ignores condition keys: ${ignored}`)
  return answer.overallResult === 'Allowed'
}
