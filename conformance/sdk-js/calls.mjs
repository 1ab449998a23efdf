// A note of every call that the SDK makes: what coverage.py judges at the end of a run. ../calls.py is the same for boto3.
import { readFileSync, writeFileSync } from 'node:fs';
import * as sdk from '@aws-sdk/client-kms';

// The members of replies whose values tell which key specs and algorithms have been used, by the enumeration they belong to.
const enumerations = {
  SigningAlgorithm: 'SigningAlgorithmSpec',
  EncryptionAlgorithm: 'EncryptionAlgorithmSpec',
  MacAlgorithm: 'MacAlgorithmSpec',
  KeyAgreementAlgorithm: 'KeyAgreementAlgorithmSpec',
  EncapsulationAlgorithm: 'EncapsulationAlgorithmSpec',
  KeyPairSpec: 'DataKeyPairSpec',
};

const results = {};
const values = {};

function count(operation, result) {
  results[operation] ??= {};
  results[operation][result] = (results[operation][result] ?? 0) + 1;
}

function used(enumeration, value) {
  values[enumeration] ??= new Set();
  values[enumeration].add(value);
}

// watch notes the calls of a client from now on.
export function watch(client) {
  client.middlewareStack.add(
    (next, context) => async (args) => {
      const operation = context.commandName.replace(/Command$/, '');
      let result;
      try {
        result = await next(args);
      } catch (e) {
        count(operation, e.name);
        throw e;
      }
      note(operation, result.output);
      return result;
    },
    { step: 'initialize', priority: 'high', name: 'noteCalls' },
  );
}

function note(operation, output) {
  count(operation, 'success');
  if (operation === 'CreateKey') used('KeySpec', output.KeyMetadata.KeySpec);
  for (const [member, enumeration] of Object.entries(enumerations)) {
    if (output[member]) used(enumeration, output[member]);
  }
}

// save writes the notes, with what the SDK itself knows of the API, into the file that KEYTURN_CALLS names, if it does.
export function save() {
  const path = process.env.KEYTURN_CALLS;
  if (!path) return;
  const { dependencies } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url)));
  const operations = Object.keys(sdk)
    .filter((name) => name.endsWith('Command') && name !== '$Command')
    .map((name) => [name.replace(/Command$/, ''), { errors: [] }]);
  const known = ['KeySpec', ...Object.values(enumerations)].map((name) => [name, Object.values(sdk[name] ?? {})]);
  const notes = {
    client: `AWS SDK for JavaScript ${dependencies['@aws-sdk/client-kms']}`,
    results,
    values: Object.fromEntries(Object.entries(values).map(([name, set]) => [name, [...set].sort()])),
    operations: Object.fromEntries(operations),
    enumerations: Object.fromEntries(known),
  };
  writeFileSync(path, JSON.stringify(notes));
}
