# The service as an image: bundled, beside its sources, which the command line and stack traces go by.
ARG NODE=node:26.10.0-bookworm-slim

FROM ${NODE} AS builder
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
# `npm ci` refuses a lock file that was written on another platform; this installs what the file names and leaves it as it is.
RUN npm install --no-save
COPY tsconfig.json ./
COPY gen gen
COPY migrations migrations
COPY src src
COPY console console
RUN npm run build:dist

FROM ${NODE} AS dependencies
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
# Without the optional packages: they are an embedded PostgreSQL, which containers have no use for.
RUN npm install --no-save --omit=dev --omit=optional --ignore-scripts

FROM ${NODE}
LABEL org.opencontainers.image.title="HomeChef webhook service" \
  org.opencontainers.image.description="Events in over gRPC, signed deliveries out, nothing lost in between." \
  org.opencontainers.image.vendor="HomeChef"
# The service is started by Node alone: package managers would only be something to keep up to date.
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /opt/yarn* /usr/local/bin/yarn*
WORKDIR /app
# DATA_DIR is used only in development, for keys that are generated where none are given. A container that listens on its own loopback is
# reached by nobody, so SERVER_HOST does not depend on ENVIRONMENT here.
ENV NODE_ENV=production ENVIRONMENT=production DATA_DIR=/data SERVER_HOST=0.0.0.0
COPY --from=dependencies /build/node_modules node_modules
COPY package.json ./
COPY gen gen
COPY migrations migrations
COPY src src
COPY --from=builder /build/dist dist
RUN install -d -o node -g node /data /compiled
VOLUME /data
# By number, so that an orchestrator that demands a non-root user can tell.
USER 1000:1000
# What Node has compiled once: a start takes half the processor time. It belongs to a user and a path, and is only read from here on.
ENV NODE_COMPILE_CACHE=/compiled
RUN ["node", "-e", "for (const file of fs.readdirSync('dist/service')) if (file.endsWith('.js') && file !== 'main.js') import(`/app/dist/service/${file}`)"]
EXPOSE 8080 9090 9464
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["node", "-e", "const { SERVER_PORT: port = 8080, TLS_CERT_FILE: tls } = process.env; require(tls ? 'node:https' : 'node:http').get({ port, path: '/livez', rejectUnauthorized: false }, (a) => process.exit(a.statusCode === 200 ? 0 : 1)).on('error', () => process.exit(1))"]
# The limit is several times what is ever held; it keeps the garbage collector from letting garbage pile up.
CMD ["node", "--max-old-space-size=1024", "--heap-growing-percent=70", "--enable-source-maps", "dist/service/main.js"]
