// The chart under other values than its own, rendered by the real Helm; skipped where there is none (`go install helm.sh/helm/v3/cmd/helm@v3.20.2`).
import { execFile, execFileSync } from 'node:child_process';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';

const run = promisify(execFile);
const chart = fileURLToPath(new URL('../../k8s/helm-charts/homechef-microservices', import.meta.url));
const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}${delimiter}${join(homedir(), 'go/bin')}` };

interface Resource {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly annotations?: Record<string, string> };
  // oxlint-disable-next-line typescript/no-explicit-any -- rendered resources are looked into by path.
  readonly spec: any;
  readonly data?: Record<string, string>;
}

interface Rendered {
  /** What the release owns: applied by an upgrade, put back by a rollback, removed by an uninstall. */
  readonly owned: readonly Resource[];
  /** What runs before, and goes with it. */
  readonly hooks: readonly Resource[];
}

async function render(...settings: string[]): Promise<Rendered> {
  const values = settings.flatMap((setting) => ['--set-json', setting]);
  const { stdout } = await run(
    'helm',
    ['template', 'webhook-service', chart, '-n', 'homechef', '--kube-version', '1.34', ...values],
    { env, maxBuffer: 16 * 1024 * 1024 },
  );
  const all = parseAllDocuments(stdout).flatMap((document) => (document.toJS() as Resource | null) ?? []);
  const isHook = ({ metadata }: Resource): boolean => metadata.annotations?.['helm.sh/hook'] !== undefined;
  return { owned: all.filter((resource) => !isHook(resource)), hooks: all.filter(isHook) };
}

const ofKind = (resources: readonly Resource[], kind: string): Resource[] =>
  resources.filter((resource) => resource.kind === kind);

/** ConfigMaps and ServiceAccounts that pods name, and do not come from elsewhere. */
function missing(pods: readonly Resource[], available: readonly Resource[]): string[] {
  const names = new Set(available.map(({ kind, metadata }) => `${kind} ${metadata.name}`));
  const needed = pods.flatMap(({ spec }) => [
    `ServiceAccount ${spec.template.spec.serviceAccountName}`,
    `ConfigMap ${spec.template.spec.containers[0].envFrom[0].configMapRef.name}`,
  ]);
  return needed.filter((name) => !names.has(name));
}

const containers = ({ owned }: Rendered): any[] =>
  ofKind(owned, 'Deployment').map(({ spec }) => spec.template.spec.containers[0]);

describe.skipIf(!hasHelm())('the chart', () => {
  test('a rollback puts back all that its pods need: a release owns it under a name that its content decides', async () => {
    const installed = await render();
    const upgraded = await render('config.LOG_LEVEL="warn"');
    for (const { owned } of [installed, upgraded]) expect(missing(ofKind(owned, 'Deployment'), owned)).toEqual([]);
    const names = [installed, upgraded].map(({ owned }) => ofKind(owned, 'ConfigMap')[0]?.metadata.name);
    expect(new Set(names).size).toBe(2);
    // What the failed or the newer version writes is another object, so it cannot reach the pods of this one.
    expect((await render()).owned).toEqual(installed.owned);
  });

  test('a migration that fails leaves no trace in what the release owns', async () => {
    const { owned, hooks } = await render();
    expect(hooks.map(({ kind }) => kind).toSorted()).toEqual(['ConfigMap', 'Job', 'NetworkPolicy', 'ServiceAccount']);
    expect(missing(ofKind(hooks, 'Job'), hooks)).toEqual([]);
    const keys = (resources: readonly Resource[]): string[] =>
      resources.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    expect(keys(owned).filter((key) => keys(hooks).includes(key))).toEqual([]);
  });

  test('without the migration job the release owns the same', async () => {
    const [withJob, without] = [await render(), await render('migration.enabled=false')];
    expect(without.owned).toEqual(withJob.owned);
    expect(without.hooks).toEqual([]);
  });

  test('another allowed range, and another Secret, replace the pods', async () => {
    const template = ({ owned }: Rendered): unknown => ofKind(owned, 'Deployment')[0]?.spec.template;
    const usual = template(await render());
    expect(template(await render('networkPolicy.allowedCidrs=["10.1.0.0/16"]'))).not.toEqual(usual);
    expect(template(await render('secretName="other"'))).not.toEqual(usual);
  });

  test.each([
    ['256Mi', 170],
    ['768Mi', 512],
    ['1Gi', 682],
    ['1G', 635],
    ['1.5Gi', 1024],
    ['8Gi', 1024],
    ['536870912', 341],
  ])('with %s of memory the heap gets %i MB', async (memory, expected) => {
    const [api] = containers(await render(`api.resources={"limits":{"memory":"${memory}"}}`));
    expect(api.args).toContain(`--max-old-space-size=${expected}`);
  });

  test('volumes and environment of one’s own reach services and migration alike', async () => {
    const rendered = await render(
      'extraEnv=[{"name":"NODE_EXTRA_CA_CERTS","value":"/ca/ca.crt"}]',
      'extraVolumes=[{"name":"ca","configMap":{"name":"private-ca"}}]',
      'extraVolumeMounts=[{"name":"ca","mountPath":"/ca","readOnly":true}]',
    );
    const job = ofKind(rendered.hooks, 'Job')[0]?.spec.template.spec;
    for (const container of [...containers(rendered), job.containers[0]]) {
      expect(container.env).toContainEqual({ name: 'NODE_EXTRA_CA_CERTS', value: '/ca/ca.crt' });
      expect(container.volumeMounts).toContainEqual({ name: 'ca', mountPath: '/ca', readOnly: true });
    }
    expect(job.volumes).toContainEqual({ name: 'ca', configMap: { name: 'private-ca' } });
  });

  test('probes speak TLS where the listener does', async () => {
    const rendered = await render('config.TLS_CERT_FILE="/tls/tls.crt"');
    for (const { startupProbe, livenessProbe, readinessProbe } of containers(rendered))
      for (const probe of [startupProbe, livenessProbe, readinessProbe]) expect(probe.httpGet.scheme).toBe('HTTPS');
  });

  test('pods are placed as the values say', async () => {
    const { owned } = await render(
      'affinity={"nodeAffinity":{}}',
      'priorityClassName="high"',
      'topologySpread=[{"maxSkew":1,"topologyKey":"topology.kubernetes.io/zone","whenUnsatisfiable":"DoNotSchedule"}]',
    );
    for (const { spec } of ofKind(owned, 'Deployment')) {
      expect(spec.template.spec).toMatchObject({
        affinity: { nodeAffinity: {} },
        priorityClassName: 'high',
        topologySpreadConstraints: [{ topologyKey: 'topology.kubernetes.io/zone', whenUnsatisfiable: 'DoNotSchedule' }],
      });
    }
  });

  test('the network lets through what the configuration names', async () => {
    const { owned } = await render(
      'config.REDIS_CLUSTER_NODES="redis-a:7000, redis-b:7001,redis-c"',
      'config.NOTIFICATION_SERVICE_URL="http://notices.homechef.svc:8088/v1"',
      'config.JWT_JWKS_URL="https://keys.homechef.svc/jwks"',
      'networkPolicy.dependencies=[{"namespaceSelector":{}}]',
    );
    const [policy] = ofKind(owned, 'NetworkPolicy');
    const ports = policy?.spec.egress.map(({ ports: open }: { ports: { port: number }[] }) => open.map(({ port }) => port));
    expect(ports).toContainEqual([6379, 7000, 7001]);
    expect(ports).toContainEqual([8088, 443]);
    const observed = await render(
      'config.OTEL_EXPORTER_OTLP_ENDPOINT="http://collector.tracing:5318"',
      'config.OTEL_EXPORTER_OTLP_METRICS_ENDPOINT="https://metrics.tracing/v1/metrics"',
      'networkPolicy.collector=[{"namespaceSelector":{}}]',
    );
    expect(JSON.stringify(ofKind(observed.owned, 'NetworkPolicy')[0]?.spec.egress)).toContain(
      '[{"port":4318},{"port":5318},{"port":443}]',
    );
    const behindPooler = await render('config.DB_PORT="6432"', 'config.DB_DIRECT_HOST="postgres"');
    for (const { spec } of ofKind([...behindPooler.owned, ...behindPooler.hooks], 'NetworkPolicy'))
      expect(JSON.stringify(spec.egress)).toContain('[{"port":6432},{"port":5432}]');
    const behindSentinel = await render('config.REDIS_SENTINELS="sentinel-a:7000, sentinel-b"');
    const [other] = ofKind(behindSentinel.owned, 'NetworkPolicy');
    expect(JSON.stringify(other?.spec.egress)).toContain('[{"port":6379},{"port":7000},{"port":26379}]');
  });

  test('as many pods may be asked for as leave one to a drain, also by a share', async () => {
    const { owned } = await render('api.minAvailable="50%"', 'worker.autoscaling.minReplicas=3', 'worker.minAvailable="66%"');
    expect(ofKind(owned, 'PodDisruptionBudget').map(({ spec }) => spec.minAvailable)).toEqual(['50%', '66%']);
  });

  test.each([
    ['api.minAvailable=2', 'api.minAvailable: 2 of 2 pods'],
    ['worker.minAvailable="100%"', 'worker.minAvailable: 100% of 2 pods'],
    ['api.minAvailable="51%"', 'api.minAvailable: 51% of 2 pods'],
    ['api={"autoscaling":{"enabled":false},"replicas":1}', 'api.minAvailable: 1 of 1 pods'],
    ['api.resources={"limits":{"memory":"lots"}}', 'lots is not a quantity'],
    ['extraEnvironment=[]', 'extraEnvironment'],
    ['config.TLS_CLIENT_CA_HTTPS="true"', 'config.TLS_CLIENT_CA_HTTPS: the kubelet has no certificate'],
  ])('%s is refused in a sentence', async (setting, sentence) => {
    await expect(render(setting)).rejects.toThrow(sentence);
  });
});

function hasHelm(): boolean {
  try {
    execFileSync('helm', ['version', '--short'], { env, stdio: 'ignore' });
    return true;
  } catch {
    console.log('skipped: no helm on this machine, so the chart is not rendered with other values');
    return false;
  }
}
