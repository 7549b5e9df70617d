// The bare yardstick: undici `dispatch` and two HMACs against the same receiver, with nothing recorded. As fast as one could be.
import { createHmac } from 'node:crypto';
import { Agent } from 'undici';

export interface YardstickJob {
  readonly port: number;
  readonly requests: number;
  readonly paddingBytes: number;
}

const IN_FLIGHT = 64;

function run(job: YardstickJob): Promise<number> {
  const agent = new Agent({ connections: IN_FLIGHT, pipelining: 1 });
  const origin = `http://127.0.0.1:${job.port}`;
  const key = Buffer.alloc(32, 7);
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    let issued = 0;
    let done = 0;
    const issue = (): void => {
      issued += 1;
      const id = `delivery_${String(issued).padStart(26, '0')}`;
      const body = Buffer.from(
        `{"event":"order.created","data":{"order_id":"order_${issued}","customer_id":"customer_456","chef_id":"chef_789","total_amount":45.99,"status":"pending","note":"${'x'.repeat(job.paddingBytes)}"},"timestamp":"2026-01-01T00:00:00.000Z","webhook_id":"webhook_01hxaaaaaaaaaaaaaaaaaaaaaa","delivery_id":"${id}"}`,
      );
      const homechef = createHmac('sha256', key).update(body).digest('hex');
      const standard = createHmac('sha256', key).update(`${id}.1700000000.`).update(body).digest('base64');
      agent.dispatch(
        {
          origin,
          path: '/yardstick',
          method: 'POST',
          body,
          headers: {
            'content-type': 'application/json',
            'x-homechef-signature': `sha256=${homechef}`,
            'webhook-id': id,
            'webhook-timestamp': '1700000000',
            'webhook-signature': `v1,${standard}`,
          },
        },
        {
          onRequestStart() {},
          onResponseStart() {},
          onResponseData() {},
          onResponseEnd() {
            done += 1;
            if (done === job.requests) resolve((job.requests / (performance.now() - startedAt)) * 1000);
            else if (issued < job.requests) issue();
          },
          onResponseError(_controller, error) {
            reject(error);
          },
        },
      );
    };
    for (let i = 0; i < IN_FLIGHT; i += 1) issue();
  });
}

process.on('message', (job: YardstickJob) => {
  run(job).then(
    (perSecond) => process.send?.(perSecond),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.on('disconnect', () => process.exit(0));
process.send?.('ready');
