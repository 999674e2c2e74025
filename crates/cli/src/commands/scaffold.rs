//! `scaffold`: first scripts of services in a cluster, of the liveness probes behind them, as the first operator's plugin wrote them.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use clap::Args;
use k8s_openapi::api::core::v1::{Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{Api, ListParams};
use serde_json::json;

use crate::cluster::Connection;
use crate::exit::{Exit, Failure};
use crate::flags::Cluster;
use crate::terminal::print;

/// Pods of a service are alike: so many are looked at.
const MAX_PODS: u32 = 20;

/// `scaffold`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  # artillery-scripts/test-script_checkout.yaml and test-script_basket.yaml, of the services checkout and basket
  kubectl artillery scaffold checkout basket -n shop

  # then: try it, and make a load test of it
  kubectl artillery plan artillery-scripts/test-script_checkout.yaml
  kubectl artillery generate checkout -s artillery-scripts/test-script_checkout.yaml")]
pub struct Flags {
    /// Services whose pods have HTTP liveness probes.
    #[arg(required = true, value_name = "SERVICE")]
    pub services: Vec<String>,

    /// The folder to write to.
    #[arg(short, long, value_name = "FOLDER", default_value = "artillery-scripts", value_hint = clap::ValueHint::DirPath)]
    pub out: PathBuf,
}

/// Writes them.
///
/// # Errors
/// There is no cluster, no such service, or no probe behind it; nothing is written then.
pub async fn run(flags: &Flags, cluster: &Cluster) -> Result<Exit, Failure> {
    let mut services: Vec<&String> = flags.services.iter().collect();
    services.sort();
    services.dedup();
    let file = |service: &str| flags.out.join(format!("test-script_{service}.yaml"));
    if let Some(there) = services.iter().map(|service| file(service)).find(|file| file.exists()) {
        let shown = there.display();
        return Err(Failure::usage(format!(
            "{shown} is there already: remove it, or give another folder by --out"
        )));
    }
    let connection = Connection::open(cluster).await?;
    let namespace = &connection.namespace;
    let mut scripts = Vec::new();
    for service in services {
        let (found, pods) = look(&connection, service).await?;
        let script = script(&found, &pods, namespace).map_err(|why| {
            Failure::usage(format!("Service \"{service}\" of namespace \"{namespace}\": {why}"))
        })?;
        scripts.push((file(service), script));
    }
    fs::create_dir_all(&flags.out).map_err(|error| Failure::file("make", &flags.out, &error))?;
    for (file, script) in scripts {
        fs::write(&file, script).map_err(|error| Failure::file("write", &file, &error))?;
        print(format_args!("{} generated", file.display()))?;
    }
    Ok(Exit::Passed)
}

/// A service and its pods.
async fn look(connection: &Connection, name: &str) -> Result<(Service, Vec<Pod>), Failure> {
    let Connection { client, namespace, .. } = connection;
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let service =
        services.get_opt(name).await.map_err(|error| connection.refused("look for the Service", &error))?;
    let service = service.ok_or_else(|| {
        Failure::usage(format!("there is no Service \"{name}\" in namespace \"{namespace}\": give another name, or a namespace by -n"))
    })?;
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let labels: Vec<_> =
        selector.into_iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    if labels.is_empty() {
        return Ok((service, Vec::new()));
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let params = ListParams::default().labels(&labels.join(",")).limit(MAX_PODS);
    let pods = pods.list(&params).await.map_err(|error| connection.refused("list its pods", &error))?;
    Ok((service, pods.items))
}

/// The script of a service: a request to each HTTP liveness probe that can be reached through it.
fn script(service: &Service, pods: &[Pod], namespace: &str) -> Result<String, String> {
    let name = service.metadata.name.as_deref().unwrap_or_default();
    let spec = service.spec.clone().unwrap_or_default();
    if spec.selector.as_ref().is_none_or(std::collections::BTreeMap::is_empty) {
        return Err("it has no selector, and so no pods: give one that has".to_owned());
    }
    if pods.is_empty() {
        return Err("it has no pods: start some".to_owned());
    }
    let ports = spec.ports.unwrap_or_default();
    let urls: BTreeSet<String> =
        ports.iter().flat_map(|port| pods.iter().flat_map(|pod| urls(name, namespace, port, pod))).collect();
    let Some(first) = urls.first() else {
        return Err(
            "no pod has an HTTP liveness probe on one of its ports: write a script by hand".to_owned()
        );
    };
    // scheme, host and port, of which the first slash is the third
    let target = first.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    let text = |text: &str| json!(text).to_string();
    let mut script = format!(
        "# Of the HTTP liveness probes behind Service {name} of namespace {namespace}: a beginning, to be changed at will.
config:
  target: {}
  phases:
    # one virtual user; a load would be {{ duration: 60, arrivalRate: 5 }}
    - duration: 1
      arrivalCount: 1
  plugins:
    expect: {{}}
scenarios:
  - name: {}
    flow:
",
        text(&target),
        text(&format!("probes of {name}"))
    );
    for url in &urls {
        script.push_str(&format!(
            "      - get:\n          url: {}\n          expect:\n            - statusCode: 200\n",
            text(url)
        ));
    }
    Ok(script)
}

/// What a pod is asked by Kubernetes to know whether it lives, as it can be asked through a port of the service.
fn urls(service: &str, namespace: &str, port: &ServicePort, pod: &Pod) -> Vec<String> {
    let containers = pod.spec.as_ref().map_or(&[][..], |spec| &spec.containers);
    let number = |port: &IntOrString| match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let all = containers.iter().flat_map(|container| container.ports.iter().flatten());
            let named =
                all.filter(|port| port.name.as_ref() == Some(name)).map(|port| port.container_port).next();
            // a number may be written as a text
            named.or_else(|| name.parse().ok())
        }
    };
    let target = port.target_port.as_ref().map_or(Some(port.port), number);
    let probes =
        containers.iter().filter_map(|container| container.liveness_probe.as_ref()?.http_get.as_ref());
    let reached = probes.filter(|probe| target.is_some() && number(&probe.port) == target);
    reached
        .map(|probe| {
            let scheme = probe.scheme.as_deref().unwrap_or("HTTP").to_ascii_lowercase();
            let path = probe.path.as_deref().unwrap_or("/").trim_start_matches('/');
            format!("{scheme}://{service}.{namespace}:{}/{path}", port.port)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn service(spec: Value) -> Service {
        let service = json!({"metadata": {"name": "checkout"}, "spec": spec});
        serde_json::from_value(service).expect("a Service")
    }

    fn pod(containers: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {}, "spec": {"containers": containers}})).expect("a Pod")
    }

    fn probed(port: Value, path: &str, scheme: &str) -> Value {
        json!({"name": "c", "ports": [{"name": "web", "containerPort": 8080}],
            "livenessProbe": {"httpGet": {"port": port, "path": path, "scheme": scheme}}})
    }

    fn found(ports: Value, pods: &[Pod]) -> Result<Vec<String>, String> {
        let service = service(json!({"selector": {"app": "a"}, "ports": ports}));
        let script = script(&service, pods, "shop")?;
        let urls = script.lines().filter_map(|line| line.trim().strip_prefix("url: "));
        Ok(urls.map(|url| url.trim_matches('"').to_owned()).collect())
    }

    #[test]
    fn probes_are_asked_through_the_port_that_leads_to_them() {
        for (ports, container, urls) in [
            (
                json!([{"port": 80, "targetPort": 8080}]),
                probed(json!(8080), "/live", "HTTP"),
                &["http://checkout.shop:80/live"][..],
            ),
            (
                json!([{"port": 80, "targetPort": "web"}]),
                probed(json!("web"), "/", "HTTP"),
                &["http://checkout.shop:80/"],
            ),
            (
                json!([{"port": 8080}]),
                probed(json!("web"), "live", "HTTPS"),
                &["https://checkout.shop:8080/live"],
            ),
            (
                json!([{"port": 80, "targetPort": 8080}, {"port": 81, "targetPort": 8080}, {"port": 82, "targetPort": 9}]),
                probed(json!(8080), "/", "HTTP"),
                &["http://checkout.shop:80/", "http://checkout.shop:81/"],
            ),
        ] {
            // all pods of a service are alike
            let pods = [pod(json!([container])), pod(json!([container]))];
            assert_eq!(found(ports, &pods).expect("urls"), urls);
        }
    }

    #[test]
    fn a_service_without_probes_is_told_why() {
        let ports = json!([{"port": 80, "targetPort": 8080}]);
        let other = pod(json!([probed(json!(9), "/", "HTTP"), {"name": "d", "livenessProbe": {"exec": {}}}]));
        let error = found(ports.clone(), &[other]).expect_err("no probe");
        assert!(error.starts_with("no pod has an HTTP liveness probe on one of its ports"), "{error}");
        assert_eq!(found(ports, &[]).expect_err("no pod"), "it has no pods: start some");
        let headless = service(json!({"ports": [{"port": 80}]}));
        let error = script(&headless, &[], "shop").expect_err("no selector");
        assert!(error.starts_with("it has no selector"), "{error}");
    }

    #[test]
    fn what_is_written_is_a_sound_script() {
        let service = service(json!({"selector": {"app": "a"}, "ports": [{"port": 80, "targetPort": 8080}]}));
        let hostile = pod(json!([probed(json!(8080), "/\"\n: {{ x", "HTTP")]));
        let text = script(&service, &[hostile], "shop").expect("a script");
        let read = crate::plan::document::read(&text).expect("YAML").json();
        assert_eq!(read["config"]["target"], "http://checkout.shop:80");
        let get = &read["scenarios"][0]["flow"][0]["get"];
        assert_eq!(
            get,
            &json!({"url": "http://checkout.shop:80/\"\n: {{ x", "expect": [{"statusCode": 200}]})
        );
    }
}
