// An RPC without a route written by hand: a service made here, of descriptors alone, is served by its annotations.
import { create, createFileRegistry, setExtension } from '@bufbuild/protobuf';
import type { DescService } from '@bufbuild/protobuf';
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  MethodOptionsSchema,
  file_google_protobuf_descriptor,
} from '@bufbuild/protobuf/wkt';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { http } from '../../gen/google/api/annotations_pb.ts';
import { HttpRuleSchema } from '../../gen/google/api/http_pb.ts';
import { MethodPolicySchema, policy, Role } from '../../gen/homechef/webhook/v1/policy_pb.ts';
import type { ServiceEntry } from '../../src/transport/call/service-entry.ts';
import { openListeners, rest } from './listeners.ts';
import type { Listeners } from './listeners.ts';

type Rule = { case: 'get' | 'put' | 'post' | 'delete' | 'patch'; value: string };

function method(name: string, pattern: Rule | null, options: { body?: string; roles?: Role[]; status?: number } = {}) {
  const methodOptions = create(MethodOptionsSchema);
  if (pattern !== null) setExtension(methodOptions, http, create(HttpRuleSchema, { pattern, body: options.body ?? '' }));
  if (options.roles !== undefined) {
    setExtension(
      methodOptions,
      policy,
      create(MethodPolicySchema, { roles: options.roles, successStatus: options.status ?? 0 }),
    );
  }
  return { name, inputType: '.kitchen.v1.Dish', outputType: '.kitchen.v1.Dish', options: methodOptions };
}

const everyone = [Role.DEVELOPER, Role.SERVICE, Role.ADMIN];

function kitchen(): DescService {
  const field = (name: string, number: number, type: Type, more: object = {}) => ({
    name,
    number,
    type,
    label: Label.OPTIONAL,
    jsonName: name,
    ...more,
  });
  const file = create(FileDescriptorProtoSchema, {
    name: 'kitchen.proto',
    package: 'kitchen.v1',
    syntax: 'proto3',
    enumType: [
      { name: 'Heat', value: ['HEAT_UNSPECIFIED', 'HEAT_MILD', 'HEAT_HOT'].map((name, number) => ({ name, number })) },
    ],
    messageType: [
      {
        name: 'Dish',
        field: [
          field('dish_id', 1, Type.STRING),
          field('heat', 2, Type.ENUM, { typeName: '.kitchen.v1.Heat' }),
          field('tags', 3, Type.STRING, { label: Label.REPEATED }),
          field('heats', 4, Type.ENUM, { label: Label.REPEATED, typeName: '.kitchen.v1.Heat' }),
          field('side', 5, Type.MESSAGE, { typeName: '.kitchen.v1.Dish' }),
          field('calories', 6, Type.INT64),
          field('vegan', 7, Type.BOOL),
          field('weight', 8, Type.DOUBLE),
          field('idempotency_key', 9, Type.STRING),
        ],
      },
    ],
    service: [
      {
        name: 'Kitchen',
        method: [
          method('GetDish', { case: 'get', value: '/kitchen/dishes/{dish_id}' }, { roles: everyone }),
          method('GetMenu', { case: 'get', value: '/kitchen/dishes/menu' }, { roles: everyone }),
          method('Cook', { case: 'post', value: '/kitchen/dishes' }, { body: '*', roles: [Role.SERVICE], status: 201 }),
          method('Season', { case: 'patch', value: '/kitchen/dishes/{dish_id}' }, { body: '*', roles: everyone }),
          method('Forbidden', { case: 'get', value: '/kitchen/forbidden' }),
        ],
      },
    ],
  });
  const set = create(FileDescriptorSetSchema, { file: [file_google_protobuf_descriptor.proto, file] });
  const service = createFileRegistry(set).getService('kitchen.v1.Kitchen');
  if (service === undefined) throw new Error('no service');
  return service;
}

let listeners: Listeners;
beforeAll(async () => {
  const echo = async (dish: unknown) => dish;
  const menu = async () => ({ dishId: 'the menu' });
  const entry: ServiceEntry = {
    service: kitchen(),
    implementation: { getDish: echo, getMenu: menu, cook: echo, season: echo, forbidden: echo },
  };
  listeners = await openListeners({ entries: [entry] });
});
afterAll(() => listeners.close());

test('path, query, nested, repeated, enum, bool and 64-bit parameters arrive', async () => {
  const query =
    'heat=hot&tags=a&tags=b%20c&heats=mild&heats=HEAT_HOT&side.dish_id=rice&side.side.heat=mild&calories=9007199254740993&vegan=true&weight=1.5';
  const { status, json } = await rest(listeners, 'GET', `/kitchen/dishes/soup?${query}`);
  expect(status).toBe(200);
  expect(json).toMatchObject({
    dish_id: 'soup',
    heat: 'hot',
    tags: ['a', 'b c'],
    heats: ['mild', 'hot'],
    side: { dish_id: 'rice', side: { heat: 'mild' } },
    calories: '9007199254740993',
    vegan: true,
    weight: 1.5,
  });
});

test('a static path wins over a variable', async () => {
  expect((await rest(listeners, 'GET', '/kitchen/dishes/menu')).json.dish_id).toBe('the menu');
});

test('the body, the status and the Idempotency-Key follow the annotations', async () => {
  const body = { dish_id: 'stew', heat: 'HEAT_HOT', calories: '-5', side: { tags: ['x'] } };
  const { status, json } = await rest(listeners, 'POST', '/kitchen/dishes', { body, headers: { 'idempotency-key': 'once' } });
  expect(status).toBe(201);
  expect(json).toMatchObject({
    dish_id: 'stew',
    heat: 'hot',
    calories: '-5',
    side: { tags: ['x'], heat: 'unspecified' },
    idempotency_key: 'once',
  });
  expect((await rest(listeners, 'PATCH', '/kitchen/dishes/stew', { body: { vegan: true } })).json).toMatchObject({
    dish_id: 'stew',
    vegan: true,
  });
});

test.each([
  [{ calories: '1.5' }, 'calories'],
  [{ calories: '9223372036854775808' }, 'calories'],
  [{ calories: 2 ** 60 }, 'calories'],
  [{ side: { side: { heat: 'lukewarm' } } }, 'side.side.heat'],
  [{ heats: ['mild', 1] }, 'heats[1]'],
  [{ weight: '1' }, 'weight'],
])('refuses %j', async (body, field) => {
  const { status, json } = await rest(listeners, 'POST', '/kitchen/dishes', { body });
  expect([status, json.error.details[0].field]).toEqual([400, field]);
});

test('the policy decides who may call, and an RPC without one can be called by no one', async () => {
  expect((await rest(listeners, 'POST', '/kitchen/dishes', { token: 'developer:user123', body: {} })).status).toBe(403);
  for (const role of ['developer', 'service', 'admin']) {
    const { status, json } = await rest(listeners, 'GET', '/kitchen/forbidden', { token: `${role}:x` });
    expect([status, json.error.reason]).toEqual([403, 'role_not_allowed']);
  }
});
