// Verification in Python.
import type { Sample } from './sample.ts';

export const python: Sample = {
  key: 'python',
  label: 'Python',
  install: 'pip install standardwebhooks flask',
  file: 'receiver.py',
  code: `import os
from flask import Flask, request
from standardwebhooks import Webhook, WebhookVerificationError

app = Flask(__name__)
webhook = Webhook(os.environ["HOMECHEF_WEBHOOK_SECRET"])  # whsec_…


@app.post("/webhooks/homechef")
def receive():
    headers = {name.lower(): value for name, value in request.headers.items()}
    try:
        # Reads webhook-id, webhook-timestamp and webhook-signature; raises unless they fit the body.
        event = webhook.verify(request.get_data(), headers)
    except WebhookVerificationError:
        return "", 401
    print(event["event"], event["data"])
    return "", 204
`,
};
