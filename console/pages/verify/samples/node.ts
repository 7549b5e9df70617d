// Verification in Node.
import type { Sample } from './sample.ts';

export const node: Sample = {
  key: 'node',
  label: 'Node',
  install: 'npm install standardwebhooks',
  file: 'receiver.mjs',
  code: `import { createServer } from 'node:http';
import { Webhook } from 'standardwebhooks';

const webhook = new Webhook(process.env.HOMECHEF_WEBHOOK_SECRET); // whsec_…

createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString('utf8');
  try {
    // Reads webhook-id, webhook-timestamp and webhook-signature; throws unless they fit the body.
    const event = webhook.verify(body, request.headers);
    console.log(event.event, event.data);
    response.writeHead(204).end();
  } catch {
    response.writeHead(401).end();
  }
}).listen(Number(process.env.PORT ?? 3000));
`,
};
