// Clients that strangers generate from gen/openapi.json: each compiles under strict flags and lives through the same story.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startApp, type TestApp } from '../fixtures/app.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import { missing, OAPI_CODEGEN, Workshop } from './toolchain.ts';

const TOLD =
  'published to 1, batch 1 of 2, refused for event_type_unknown, delivered 2, then retrying, then not_found for not_found\n';

const GO = [['go', 'version']] as const;
const PYTHON = [['python3', '-m', 'venv', '-h']] as const;
const JAVA = [
  ['java', '-version'],
  ['mvn', '-v'],
] as const;

let service: TestApp;
let receiver: Receiver;

beforeAll(async () => {
  [service, receiver] = await Promise.all([startApp(), startReceiver()]);
});

afterAll(async () => {
  await service?.close();
  await receiver?.close();
});

/** Each client is a developer of its own, so none meets the webhook of another. */
async function environment(userId: string): Promise<Record<string, string>> {
  return {
    URL: service.http,
    RECEIVER: receiver.url(),
    USER_ID: userId,
    DEVELOPER_TOKEN: await service.token(userId),
    SERVICE_TOKEN: await service.token('order-service', 'service'),
  };
}

function client(
  name: string,
  needed: readonly (readonly [string, ...string[]])[],
  live: (workshop: Workshop, env: Record<string, string>) => Promise<string>,
): void {
  const absent = missing(needed);
  if (absent.length > 0) console.log(`skipped: the client ${name}, for want of ${absent.join(' and ')}`);
  test.skipIf(absent.length > 0)(`in ${name}`, async () => {
    expect(await live(new Workshop(name), await environment(`stranger-${name}`))).toBe(TOLD);
  });
}

describe('a generated client compiles under strict flags, and publishes, lists, retries and reads errors by their types', () => {
  client('typescript', [], async (workshop, env) => {
    await installNpm(workshop);
    await workshop.run('npx', ['openapi-typescript', workshop.document, '-o', 'schema.d.ts']);
    await workshop.run('npx', ['tsc']);
    return workshop.run(process.execPath, ['out/client.js'], env);
  });

  client('typescript-fetch', JAVA, async (workshop, env) => {
    await installNpm(workshop);
    // Its templates for what receivers get import a model without a name; a client has no use for them.
    await workshop.generate('typescript-fetch', ['--global-property=apis=Deliveries:Events:Webhooks,models,supportingFiles']);
    // What is generated is a project of its own. Its runtime, the same for every document, does not compile with exactOptionalPropertyTypes and
    // noImplicitOverride; the program that uses it does.
    await workshop.run('npx', ['tsc', '--build', '--force']);
    return workshop.run(process.execPath, ['out/client.js'], env);
  });

  client('python', [...JAVA, ...PYTHON], async (workshop, env) => {
    await workshop.generate('python');
    if (!workshop.has('venv')) await workshop.run('python3', ['-m', 'venv', 'venv']);
    await workshop.run('venv/bin/pip', ['install', '-q', './generated', 'mypy', 'types-python-dateutil']);
    await workshop.run('venv/bin/mypy', ['--strict', '--follow-imports=silent', 'client.py']);
    return workshop.run('venv/bin/python', ['-W', 'error', 'client.py'], env);
  });

  client('go', [...JAVA, ...GO], async (workshop, env) => {
    await workshop.generate('go', [
      '--additional-properties=packageName=homechef,withGoMod=false',
      '--global-property=apiTests=false,modelTests=false',
    ]);
    await goModule(workshop);
    return workshop.run('go', ['run', 'client.go'], env);
  });

  client('oapi-codegen', GO, async (workshop, env) => {
    const output = ['-generate', 'types,client', '-package', 'homechef', '-o', 'generated/client.go'];
    await workshop.run('go', ['run', OAPI_CODEGEN, ...output, workshop.document]);
    await goModule(workshop);
    return workshop.run('go', ['run', 'client.go'], env);
  });

  client('java', JAVA, async (workshop, env) => {
    await workshop.generate('java', ['--additional-properties=dateLibrary=java8']);
    const maven = ['-q', '-B', '-f', 'generated/pom.xml', '-Dmaven.test.skip=true'];
    await workshop.run('mvn', [
      ...maven,
      'compile',
      'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies',
      '-DoutputDirectory=libraries',
    ]);
    const path = 'generated/target/classes:generated/libraries/*';
    await workshop.run('javac', ['-Xlint:all', '-Werror', '-cp', path, '-d', 'out', 'Client.java']);
    return workshop.run('java', ['-cp', `out:${path}`, 'Client'], env);
  });
});

async function installNpm(workshop: Workshop): Promise<void> {
  await workshop.run('npm', ['install', '--no-package-lock', '--loglevel=error', '--prefer-offline']);
}

async function goModule(workshop: Workshop): Promise<void> {
  if (!workshop.has('go.mod')) await workshop.run('go', ['mod', 'init', 'homechef.example/client']);
  await workshop.run('go', ['mod', 'tidy']);
  await workshop.run('go', ['vet', './...']);
}
