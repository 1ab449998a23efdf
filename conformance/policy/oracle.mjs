// keyturn's side: its generator and its decisions, from the program that conformance/policy is.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

// generate yields the first line, which describes the run, then the cases.
export async function* generate(program, seed, cases) {
  const child = spawn(program, ['generate', '-seed', seed, '-cases', cases], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise((resolve, reject) => child.on('error', reject).on('close', resolve))
  for await (const line of createInterface({ input: child.stdout })) yield JSON.parse(line)
  const status = await ended
  if (status !== 0) throw new Error(`the generator ended with status ${status}`)
}

// decider starts a program that answers one case after the other.
export function decider(program) {
  const child = spawn(program, ['decide'], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    async decide(test) {
      child.stdin.write(JSON.stringify(test) + '\n')
      const { value, done } = await lines.next()
      if (done) throw new Error('keyturn does not take the case')
      return JSON.parse(value)
    },
    end: () => child.stdin.end(),
  }
}
