const { createHmac } = require('node:crypto');
const { readFileSync } = require('node:fs');
const { key } = require('./signing-key.js'); // from a Secret, as are the partner's name and the users

const partner = readFileSync(`${__dirname}/private/partner.txt`, 'utf8').trim();

function sign(context, events, done) {
  context.vars.partner = partner;
  context.vars.signature = createHmac('sha256', key).update(context.vars.user).digest('hex');
  events.emit('counter', `signed.${partner}`, 1);
  done();
}

module.exports = { sign };
