use crate::pool::model::user_data::{checks_warm_pool, clusters};

#[test]
fn ecs_cluster_of_user_data_is_read_only_where_it_is_a_literal_setting() {
    let cases: &[(&str, &[&str])] = &[
        ("#!/bin/bash\necho ECS_CLUSTER=build >> /etc/ecs/ecs.config\n", &["build"]),
        ("cat <<'EOF' >> /etc/ecs/ecs.config\nECS_CLUSTER=a_b-1\nECS_ENABLE_TASK_IAM_ROLE=true\nEOF", &["a_b-1"]),
        ("ECS_CLUSTER=\"quoted\"\nexport ECS_CLUSTER='other'", &["other", "quoted"]),
        ("if x; then echo ECS_CLUSTER=one; else echo ECS_CLUSTER=two; fi", &["one", "two"]),
        ("[settings.host]\ncluster = \"no\"\n[settings.ecs]\ncluster = \"rocket\"\n[x]\ncluster = \"no\"", &["rocket"]),
        // What is filled in later is unknown, and a comment is no setting.
        ("echo ECS_CLUSTER=$NAME >> f; echo ECS_CLUSTER=${NAME}; echo ECS_CLUSTER=ci-$STAGE; ECS_CLUSTER=`name`", &[]),
        ("# ECS_CLUSTER=example\nECS_CLUSTER=\n", &[]),
        // By its ARN, as the agent takes it.
        ("echo ECS_CLUSTER=arn:aws:ecs:us-east-1:012345678901:cluster/ci >> /etc/ecs/ecs.config", &["ci"]),
        ("ECS_CLUSTER='arn:aws-cn:ecs:cn-north-1:1:cluster/a_b'", &["a_b"]),
        ("[settings.ecs]\ncluster = \"arn:aws:ecs:us-east-1:1:cluster/rocket\"", &["rocket"]),
        ("ECS_CLUSTER=arn:aws:ecs:us-east-1:1:cluster/$NAME\nECS_CLUSTER=arn:aws:ecs:$REGION:1:cluster/x", &[]),
        // A line that only looks for the setting, or edits a text, sets nothing.
        ("grep -q ECS_CLUSTER=default /etc/ecs/ecs.config || echo ECS_CLUSTER=ci >> /etc/ecs/ecs.config", &["ci"]),
        ("if ! grep -q '^ECS_CLUSTER=default' /etc/ecs/ecs.config; then exit 1; fi", &[]),
        ("if [ \"$LINE\" = ECS_CLUSTER=default ]; then true; fi; [[ $X == *ECS_CLUSTER=a* ]] && exit", &[]),
        ("/usr/bin/test x = ECS_CLUSTER=a; while grep -c 'ECS_CLUSTER=b' f; do sleep 1; done", &[]),
        ("sudo sed -i 's|ECS_CLUSTER=default|ECS_CLUSTER=build|' f", &[]),
        ("cat f | awk '/ECS_CLUSTER=default/ { print; }'; (grep ECS_CLUSTER=c f)", &[]),
        ("MY_ECS_CLUSTER=other; echo $ECS_CLUSTER=x; echo ECS_CLUSTER=ci # was ECS_CLUSTER=default", &["ci"]),
        ("echo \"ECS_CLUSTER=ci; for x in grep\" > f", &["ci"]),
        ("yum install -y docker", &[]),
    ];
    for (text, wanted) in cases {
        assert_eq!(clusters(text).iter().map(String::as_str).collect::<Vec<_>>(), *wanted, "{text}");
    }
}

#[test]
fn ecs_warm_pools_check_of_user_data_is_true_only_where_it_is_set() {
    let cases = [
        ("#!/bin/bash\necho ECS_WARM_POOLS_CHECK=true >> /etc/ecs/ecs.config\n", true),
        ("cat <<'EOF' >> /etc/ecs/ecs.config\nECS_CLUSTER=ci\nECS_WARM_POOLS_CHECK=\"true\"\nEOF", true),
        ("[settings.ecs]\ncluster = \"ci\"\n[settings.autoscaling]\nshould-wait = true\n", true),
        ("ECS_WARM_POOLS_CHECK=false\n# ECS_WARM_POOLS_CHECK=true", false),
        ("grep -q ECS_WARM_POOLS_CHECK=true /etc/ecs/ecs.config", false),
        ("[settings.autoscaling]\nshould-wait = false\n[settings.x]\nshould-wait = true", false),
        ("echo ECS_CLUSTER=ci >> /etc/ecs/ecs.config", false),
    ];
    for (text, wanted) in cases {
        assert_eq!(checks_warm_pool(text), wanted, "{text}");
    }
}
