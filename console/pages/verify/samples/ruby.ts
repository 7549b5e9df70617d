// Verification in Ruby.
import type { Sample } from './sample.ts';

export const ruby: Sample = {
  key: 'ruby',
  label: 'Ruby',
  install: 'gem install standardwebhooks sinatra',
  file: 'receiver.rb',
  code: `require 'sinatra'
require 'standardwebhooks'

webhook = StandardWebhooks::Webhook.new(ENV.fetch('HOMECHEF_WEBHOOK_SECRET')) # whsec_…

post '/webhooks/homechef' do
  body = request.body.read
  headers = {
    'webhook-id' => request.get_header('HTTP_WEBHOOK_ID'),
    'webhook-timestamp' => request.get_header('HTTP_WEBHOOK_TIMESTAMP'),
    'webhook-signature' => request.get_header('HTTP_WEBHOOK_SIGNATURE')
  }
  begin
    # Raises unless the headers fit the body.
    event = webhook.verify(body, headers)
  rescue StandardWebhooks::WebhookVerificationError
    halt 401
  end
  logger.info "#{event[:event]} #{event[:data]}"
  status 204
end
`,
};
