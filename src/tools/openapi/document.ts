// The OpenAPI 3.1 document of the REST API, made from the contract: routes, rules, comments and policies of proto/.
import { getOption } from '@bufbuild/protobuf';
import type { DescField, DescMessage, FileRegistry } from '@bufbuild/protobuf';
import { policy, RoleSchema } from '../../../gen/homechef/webhook/v1/policy_pb.ts';
import { type DocumentedType, eventTypes } from '../../domain/event-types.ts';
import { shortEnumName } from '../../transport/body/enum-names.ts';
import { listBeside } from '../../transport/rest/query-input.ts';
import { restRoutes } from '../../transport/rest/routes.ts';
import type { RestRoute } from '../../transport/rest/routes.ts';
import { commentOf } from './contract.ts';
import { ANSWERING, bodyName, bodySchema, deliveryHeaders } from './delivery-request.ts';
import { errorResponses, errorSchema } from './errors.ts';
import { deliveryBodyExample, examples } from './examples.ts';
import { plainOperations, plainSchemas } from './plain-operations.ts';
import { Schemas } from './schema.ts';
import type { OpenApiDocument } from '../../transport/pages/openapi-document.ts';
import type { Schema } from './schema.ts';

const SERVICES = ['WebhookService', 'DeliveryService', 'ReplayService', 'EventService'] as const;
const TAGS: Record<(typeof SERVICES)[number], string> = {
  WebhookService: 'Webhooks',
  DeliveryService: 'Deliveries',
  ReplayService: 'Replays',
  EventService: 'Events',
};

const RECEIVED = 'Receivers';

export function openApiDocument(contract: FileRegistry, version: string): OpenApiDocument {
  const schemas = new Schemas(eventTypes.map(({ name }) => name));
  const paths: Record<string, Record<string, Schema>> = {};
  const tags: Schema[] = [];
  for (const name of SERVICES) {
    const service = contract.getService(`homechef.webhook.v1.${name}`);
    if (service === undefined) throw new Error(`the contract has no ${name}`);
    tags.push({ name: TAGS[name], description: commentOf(service) });
    for (const route of restRoutes([{ service, implementation: {} }])) {
      (paths[route.path] ??= {})[route.verb.toLowerCase()] = operation(route, TAGS[name], schemas);
    }
  }
  tags.push({ name: RECEIVED, description: 'What the service sends to receivers.' });
  tags.push({ name: 'Operations', description: 'For probes, load balancers and operators.' });
  for (const [path, operations] of Object.entries(plainOperations)) paths[path] = { ...paths[path], ...operations };
  return {
    openapi: '3.1.0',
    info: {
      title: 'HomeChef webhooks',
      version,
      description:
        'Other HomeChef services publish events; developers register webhooks and get each event as a signed POST, retried until it is delivered or given up.\n\nThe same operations are served over gRPC, gRPC-Web and Connect from the same contract.',
      license: { name: 'Proprietary', identifier: 'LicenseRef-Proprietary' },
    },
    servers: [{ url: '/', description: 'The service that serves this document' }],
    security: [{ bearer: [] }],
    tags,
    paths: Object.fromEntries(Object.entries(paths).toSorted(([a], [b]) => (a < b ? -1 : 1))),
    webhooks: Object.fromEntries(eventTypes.map((type) => [type.name, { post: webhookRequest(type) }])),
    components: {
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description: 'Claims: `sub` (user id), `role`, `iat`, `exp`.',
        },
      },
      headers: {
        'X-Request-Id': {
          description: 'The caller’s own, or a new one; also in the service’s log.',
          schema: { type: 'string' },
        },
        'Retry-After': { description: 'Seconds to wait.', schema: { type: 'integer', minimum: 1 } },
        ETag: { description: 'Names this state of the thing, for `If-Match`.', schema: { type: 'string' } },
        Location: { description: 'Where the new thing is.', schema: { type: 'string' } },
        'WWW-Authenticate': { description: 'How to authenticate.', schema: { type: 'string' } },
      },
      parameters: {
        IdempotencyKey: {
          name: 'Idempotency-Key',
          in: 'header',
          description:
            'The same as `idempotency_key` in the body. Repeated within 24 hours, the same request answers what the first one answered and does nothing; another request under the same key is 409.',
          schema: { type: 'string', maxLength: 255 },
        },
        IfMatch: {
          name: 'If-Match',
          in: 'header',
          description: 'The same as `etag`: the call is carried out only while the thing is in that state, else 412.',
          schema: { type: 'string' },
        },
      },
      responses: errorResponses(),
      schemas: {
        ...Object.fromEntries(Object.entries(schemas.components).toSorted(([a], [b]) => (a < b ? -1 : 1))),
        ...plainSchemas,
        ...Object.fromEntries(eventTypes.map((type) => [bodyName(type), bodySchema(type)])),
        ErrorReply: errorSchema,
      },
    },
  };
}

function operation(route: RestRoute, tag: string, schemas: Schemas): Schema {
  const { method } = route;
  const comment = commentOf(method);
  const summaryEnd = /[.:](\s|$)/.exec(comment)?.index ?? comment.length;
  const roles = getOption(method, policy).roles.map((role) => `\`${roleName(role)}\``);
  const example = examples[method.name];
  const hasIdempotencyKey = hasField(method.input, 'idempotency_key');
  const inPath = new Set(route.pathFields);
  const bodyFields = method.input.fields.filter((field) => !inPath.has(field.name));
  return {
    operationId: operationIdOf(route),
    tags: [tag],
    summary: comment.slice(0, summaryEnd),
    description: `${comment}\n\nRoles: ${roles.join(', ')}.`,
    parameters: [
      ...route.pathFields.map((name) => {
        const field = method.input.fields.find((candidate) => candidate.name === name);
        const schema = field === undefined ? {} : schemas.field(field, 'input');
        return { name, in: 'path', required: true, schema };
      }),
      ...(route.hasBody ? [] : queryParameters(method.input, bodyFields, schemas)),
      ...(hasField(method.input, 'etag') ? [{ $ref: '#/components/parameters/IfMatch' }] : []),
      ...(hasIdempotencyKey ? [{ $ref: '#/components/parameters/IdempotencyKey' }] : []),
    ],
    ...(route.hasBody && bodyFields.length > 0
      ? {
          requestBody: {
            required: bodyFields.some((field) =>
              (schemas.object(method.input, 'input')['required'] as string[] | undefined)?.includes(field.name),
            ),
            content: {
              'application/json': {
                schema:
                  inPath.size === 0
                    ? schemas.reference(method.input, 'input')
                    : schemas.object(method.input, 'input', route.pathFields),
                ...(example?.request === undefined ? {} : { example: example.request }),
              },
            },
          },
        }
      : {}),
    responses: {
      [route.successStatus]: answerOf(
        route,
        route.successStatus === 204 ? 'Done.' : commentOf(method.output) || 'Done.',
        schemas,
      ),
      ...(route.nothingAcceptedStatus === null
        ? {}
        : { [route.nothingAcceptedStatus]: answerOf(route, 'Nothing was accepted; the results say why.', schemas) }),
      ...(route.dryRunStatus === null
        ? {}
        : { [route.dryRunStatus]: answerOf(route, 'Nothing was done: what the call would do.', schemas) }),
      ...Object.fromEntries(failures(route).map((status) => [status, { $ref: `#/components/responses/Error${status}` }])),
    },
  };
}

/** The second route of a method is called by its verb: `patchWebhook` beside `updateWebhook`. */
function operationIdOf({ isAlias, verb, method }: RestRoute): string {
  return isAlias ? verb.toLowerCase() + method.name.replace(/^[A-Z][a-z]+/, '') : method.localName;
}

function hasField(message: DescMessage, name: string): boolean {
  return message.fields.some((field) => field.name === name);
}

function answerOf({ method, successStatus }: RestRoute, description: string, schemas: Schemas): Schema {
  const names = [
    'X-Request-Id',
    ...(hasField(method.output, 'etag') ? ['ETag'] : []),
    ...(successStatus === 201 ? ['Location'] : []),
  ];
  const headers = Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
  if (successStatus === 204) return { description, headers };
  const example = examples[method.name]?.answer;
  const schema = schemas.reference(method.output, 'output');
  const content = { 'application/json': { schema, ...(example === undefined ? {} : { example }) } };
  return { description, headers, content };
}

function roleName(role: number): string {
  const value = RoleSchema.values.find((candidate) => candidate.number === role);
  if (value === undefined) throw new Error(`the contract has no role ${role}`);
  return shortEnumName(RoleSchema, value);
}

function failures(route: RestRoute): number[] {
  const statuses = [400, 401, 403, 429, 500, 503, 504];
  if (route.pathFields.length > 0) statuses.push(404);
  if (route.hasBody) statuses.push(413, 415);
  if (hasField(route.method.input, 'etag')) statuses.push(412);
  if (route.verb === 'POST') statuses.push(409);
  return statuses.toSorted((a, b) => a - b);
}

// What the schema has a field for one of and a field for several of is one parameter, which may be repeated.
function queryParameters(message: DescMessage, fields: readonly DescField[], schemas: Schemas): Schema[] {
  const lists = new Map(fields.map((field) => [field, listBeside(message, field.name)]));
  const several = new Set(lists.values());
  return fields
    .filter((field) => !several.has(field))
    .map((field) => {
      const list = lists.get(field);
      const { description, ...schema } = schemas.field(field, 'input');
      if (list === undefined) return query(field.name, { ...schema, ...(description === undefined ? {} : { description }) });
      const { items, maxItems } = schemas.field(list, 'input');
      return query(field.name, { type: 'array', items, maxItems, ...(description === undefined ? {} : { description }) });
    });
}

function query(name: string, schema: Schema): Schema {
  const { description, ...rest } = schema;
  return { name, in: 'query', ...(description === undefined ? {} : { description }), schema: rest };
}

function webhookRequest(type: DocumentedType): Schema {
  return {
    operationId: `on_${type.name.replace('.', '_')}`,
    tags: [RECEIVED],
    summary: type.description,
    description: ANSWERING,
    security: [],
    parameters: deliveryHeaders.map((header) => ({ in: 'header', ...header })),
    requestBody: {
      required: true,
      content: {
        'application/json': {
          schema: { $ref: `#/components/schemas/${bodyName(type)}` },
          example: deliveryBodyExample(type),
        },
      },
    },
    responses: {
      '2XX': { description: 'Delivered.' },
      default: { description: 'Failed: tried again until the retries are used up.' },
    },
  };
}
