// Server reflection, asked by a client that knows nothing of this service: off unless switched on, and enough to call it when it is.
import { credentials, loadPackageDefinition, Metadata, status, type ServiceClientConstructor } from '@grpc/grpc-js';
import { loadFileDescriptorSetFromBuffer, loadSync } from '@grpc/proto-loader';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startApp, type TestApp } from '../fixtures/app.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

let service: TestApp;
let silent: TestApp;
beforeAll(async () => {
  [service, silent] = await Promise.all([startApp({ env: { GRPC_REFLECTION: 'true' } }), startApp()]);
}, 120_000);
afterAll(() => Promise.all([service.close(), silent.close()]));

type Question = Readonly<Record<string, unknown>>;

/** Asks all questions over one stream; answers or the error that ended it. */
function ask(
  grpc: string,
  questions: readonly Question[],
  version: 'v1' | 'v1alpha' = 'v1',
  metadata = new Metadata(),
): Promise<any[]> {
  const loaded = loadPackageDefinition(
    loadSync(`grpc/reflection/${version}/reflection.proto`, { includeDirs: [`${root}proto`], keepCase: true }),
  ) as unknown as { grpc: { reflection: Record<typeof version, { ServerReflection: ServiceClientConstructor }> } };
  const client = new loaded.grpc.reflection[version].ServerReflection(grpc, credentials.createInsecure());
  return new Promise((resolve, reject) => {
    const stream = client['ServerReflectionInfo']?.(metadata);
    const answers: unknown[] = [];
    stream.on('data', (answer: unknown) => answers.push(answer));
    stream.on('end', () => resolve(answers));
    stream.on('error', reject);
    for (const question of questions) stream.write(question);
    stream.end();
  }).finally(() => client.close()) as Promise<any[]>;
}

const filesOf = (answer: any) =>
  (answer.file_descriptor_response.file_descriptor_proto as Buffer[]).map((bytes) =>
    fromBinary(FileDescriptorProtoSchema, bytes),
  );

test('is off unless it is switched on', async () => {
  await expect(ask(silent.grpc, [{ list_services: '' }])).rejects.toMatchObject({ code: status.UNIMPLEMENTED });
});

test('lists every service that is served', async () => {
  const [answer] = await ask(service.grpc, [{ host: 'x', list_services: '*' }]);
  expect(answer.valid_host).toBe('x');
  expect(answer.original_request.list_services).toBe('*');
  expect(answer.list_services_response.service.map(({ name }: { name: string }) => name)).toEqual([
    'grpc.health.v1.Health',
    'grpc.reflection.v1.ServerReflection',
    'grpc.reflection.v1alpha.ServerReflection',
    'homechef.webhook.v1.DeliveryService',
    'homechef.webhook.v1.EventService',
    'homechef.webhook.v1.ReplayService',
    'homechef.webhook.v1.WebhookService',
  ]);
});

test('answers tools that send the headers of the call with their questions', async () => {
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${await service.token('alice')}`);
  metadata.set('idempotency-key', 'one');
  expect(await ask(service.grpc, [{ list_services: '*' }], 'v1', metadata)).toHaveLength(1);
});

test('shows enough to call the service with nothing else in hand', async () => {
  const [answer] = await ask(service.grpc, [{ file_containing_symbol: 'homechef.webhook.v1.WebhookService' }]);
  const set = toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: filesOf(answer).toReversed() }));
  const learned = loadPackageDefinition(loadFileDescriptorSetFromBuffer(Buffer.from(set), { keepCase: true })) as unknown as {
    homechef: { webhook: { v1: { WebhookService: ServiceClientConstructor } } };
  };
  const client = new learned.homechef.webhook.v1.WebhookService(service.grpc, credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${await service.token('alice')}`);
  const types = await new Promise<any>((resolve, reject) => {
    const call = client['ListEventTypes'] as unknown as (...given: unknown[]) => void;
    call.call(client, {}, metadata, (error: Error | null, answered: unknown) =>
      error === null ? resolve(answered) : reject(error),
    );
  });
  client.close();
  expect(types.events.map(({ name }: { name: string }) => name)).toContain('order.created');
});

test('shows older tools, which ask for v1alpha, the same', async () => {
  const questions = [{ list_services: '*' }, { file_containing_symbol: 'homechef.webhook.v1.EventService' }];
  const [services, files] = await ask(service.grpc, questions, 'v1alpha');
  expect(services.list_services_response.service).toHaveLength(7);
  expect(filesOf(files)[0]?.name).toBe('homechef/webhook/v1/event.proto');
});

test.each([
  ['the details of errors', { file_containing_symbol: 'google.rpc.ErrorInfo' }, 'google/rpc/error_details.proto'],
  ['a file', { file_by_filename: 'homechef/webhook/v1/event.proto' }, 'homechef/webhook/v1/event.proto'],
  ['a message', { file_containing_symbol: 'homechef.webhook.v1.Attempt' }, 'homechef/webhook/v1/delivery.proto'],
  ['a method', { file_containing_symbol: 'homechef.webhook.v1.EventService.PublishEvent' }, 'homechef/webhook/v1/event.proto'],
  ['an enum value', { file_containing_symbol: 'homechef.webhook.v1.ROLE_ADMIN' }, 'homechef/webhook/v1/policy.proto'],
  [
    'an extension',
    { file_containing_extension: { containing_type: 'google.protobuf.MethodOptions', extension_number: 50_801 } },
    'homechef/webhook/v1/policy.proto',
  ],
])('finds %s, and gives what the file imports with it', async (_, question, expected) => {
  const files = filesOf((await ask(service.grpc, [question]))[0]);
  const names = new Set(files.map(({ name }) => name));
  expect(files[0]?.name).toBe(expected);
  for (const { dependency } of files) for (const imported of dependency) expect([...names]).toContain(imported);
});

test('knows the extensions of a message, and says what it does not know, on one stream', async () => {
  const [numbers, nothing, empty, unknown] = await ask(service.grpc, [
    { all_extension_numbers_of_type: 'google.protobuf.MethodOptions' },
    { file_by_filename: '../../../etc/passwd' },
    {},
    { all_extension_numbers_of_type: 'no.such.Type' },
  ]);
  expect(numbers.all_extension_numbers_response.extension_number).toEqual(expect.arrayContaining([50_801, 72_295_728]));
  expect(nothing.error_response.error_code).toBe(status.NOT_FOUND);
  expect(empty.error_response.error_code).toBe(status.INVALID_ARGUMENT);
  expect(unknown.error_response.error_code).toBe(status.NOT_FOUND);
});
